// <run-scene>: runs the example above it in the reader's browser. One worker serves the whole page.
let worker, running

const make = (tag, options, ...children) => {
  const element = Object.assign(document.createElement(tag), options)
  element.append(...children)
  return element
}

customElements.define("run-scene", class extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return
    const button = (text, action, className = "") =>
      make("button", { type: "button", textContent: text, className, onclick: action })
    this.run = button("Run", () => this.start(), "run")
    this.halt = button("Stop", () => this.stop("Stopped."))
    this.edit = button("Edit", () => this.open())
    this.reset = button("Reset", () => { this.editor.value = this.source; this.editor.focus() })
    this.halt.hidden = this.reset.hidden = true
    const here = document.querySelector("link[rel=icon]").href
    const differs = make("a", { href: new URL("../#what-run-does", here), textContent: "What differs from a server?" })
    this.status = make("p")
    this.status.setAttribute("role", "status")
    this.append(make("div", { className: "buttons" }, this.run, this.halt, this.edit, this.reset), this.status)
    this.differs = make("p", { className: "differs" }, differs)
  }

  disconnectedCallback() { if (running === this) this.stop("") }

  get source() {
    const title = `examples/${this.getAttribute("example")}.py`
    const code = [...document.querySelectorAll(".highlight")]
      .find(block => block.querySelector(".filename")?.textContent === title)
      .querySelector("code").cloneNode(true)
    code.querySelectorAll("del").forEach(line => line.remove())
    return code.textContent
  }

  open() {
    this.editor = make("textarea", { value: this.source, spellcheck: false, rows: this.source.split("\n").length + 1 })
    this.editor.setAttribute("aria-label", `${this.getAttribute("example")}.py, editable`)
    this.status.before(this.editor)
    this.edit.hidden = true
    this.reset.hidden = false
    this.editor.focus()
  }

  start() {
    running?.stop("Stopped: another example was started.")
    running = this
    this.run.disabled = true
    this.halt.hidden = false
    this.figure ??= make("figure", { className: "timeline" })
    this.output ??= make("pre", { className: "output", tabIndex: 0 })
    this.output.setAttribute("role", "region")
    this.output.setAttribute("aria-label", `What ${this.getAttribute("example")} prints`)
    this.output.textContent = ""
    this.append(this.figure, this.output, this.differs)
    this.status.textContent = worker ? "Running…"
      : `Loading Python (${this.getAttribute("megabytes")} MB, once)…`
    worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" })
    worker.onmessage = ({ data }) => this[`on${data.type[0].toUpperCase()}${data.type.slice(1)}`](data)
    worker.onerror = () => this.onUnavailable({ text: "the worker did not start" })
    worker.postMessage({ source: this.editor?.value ?? this.source, requests: this.getAttribute("requests") })
  }

  stop(words) {
    worker.terminate()
    worker = undefined
    this.end(words)
  }

  end(words) {
    running = undefined
    this.run.disabled = false
    this.halt.hidden = true
    this.status.textContent = words
  }

  // What the worker posts.
  onStatus({ text }) { this.status.textContent = text }
  onOutput({ text }) { this.output.append(`${text}\n`) }
  onFigure({ svg }) { this.figure.innerHTML = svg }
  onDone({ run }) {
    this.end("Finished, in this browser.")
    this.dispatchEvent(new CustomEvent("done", { detail: run }))
  }
  onFailed({ text }) {
    this.output.append(`${text}\n`)
    this.end("The code raised an exception.")
  }
  onUnavailable({ text }) {
    this.stop(`Python could not be loaded (${text}). The timeline above is of a real run.`)
  }
})
