// What runs code in the reader's browser: one worker serves the whole page.
// <run-scene> runs the example above it.
let worker, running, loaded

export const make = (tag, options, ...children) => {
  const element = Object.assign(document.createElement(tag), options)
  element.append(...children)
  return element
}

export const button = (text, action, className = "") =>
  make("button", { type: "button", textContent: text, className, onclick: action })

const home = new URL("../", document.querySelector("link[rel=icon]").href)
export const inSite = path => new URL(path, home).href

// A link to the playground with that code and those requests in its fragment.
export const linkTo = async (code, requests) => {
  const packed = new Blob([JSON.stringify({ code, requests })]).stream().pipeThrough(new CompressionStream("deflate-raw"))
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer())
  const text = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""))
  return inSite(`playground/#${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`)
}

// What both elements are: Run, Stop, and what comes of it. Each has `code`, `requests` and a `label`.
export class Running extends HTMLElement {
  begin(...more) {
    this.run = button("Run", () => this.start(), "run")
    this.halt = button("Stop", () => this.stop("Stopped."))
    this.halt.hidden = true
    this.run.addEventListener("pointerenter", () => this.worker.postMessage({ does: "load" }), { once: true })
    this.status = make("p")
    this.status.setAttribute("role", "status")
    this.append(make("div", { className: "buttons" }, this.run, this.halt, ...more), this.status)
    const differs = make("a", { href: inSite("#what-run-does"), textContent: "What differs from a server?" })
    this.differs = make("p", { className: "differs" }, differs)
  }

  disconnectedCallback() { if (running === this) this.stop("") }

  get worker() { return worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" }) }
  get idle() { return worker && !running }

  // Have the worker do something. Python is loaded first, if it was not when the pointer came to the button.
  ask(message) {
    if (!loaded) this.status.textContent = `Loading Python (${this.getAttribute("megabytes")} MB, once)…`
    this.worker.onmessage = ({ data }) => this[`on${data.type[0].toUpperCase()}${data.type.slice(1)}`](data)
    worker.onerror = () => this.onUnavailable({ text: "the worker did not start" })
    worker.postMessage(message)
  }

  start() {
    running?.stop("Stopped: another example was started.")
    running = this
    this.run.disabled = true
    this.halt.hidden = false
    this.figure ??= make("figure", { className: "timeline" })
    this.output ??= make("pre", { className: "output", tabIndex: 0 })
    this.output.setAttribute("role", "region")
    this.output.setAttribute("aria-label", `What ${this.label} prints`)
    this.output.textContent = ""
    this.append(this.figure, this.output, this.differs)
    this.status.textContent = "Running…"
    this.ask({ does: "run", code: this.code, requests: this.requests })
  }

  stop(words) {
    worker.terminate()
    worker = loaded = undefined
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
  onHints() {}
  onLoaded() { loaded = true }
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
  onUnavailable({ text }) { this.stop(`Python could not be loaded (${text}).`) }
}

customElements.define("run-scene", class extends Running {
  connectedCallback() {
    if (this.firstChild) return
    this.edit = button("Edit", () => this.open())
    this.reset = button("Reset", () => { this.editor.value = this.source; this.editor.focus() })
    this.reset.hidden = true
    this.begin(this.edit, this.reset)
    const elsewhere = make("a", { textContent: "Open in the playground", href: inSite("playground/") })
    const lead = async () => { elsewhere.href = await linkTo(this.code, this.requests) }
    for (const event of ["pointerover", "focusin"]) this.addEventListener(event, lead)
    this.differs.append(" ", elsewhere)
  }

  get label() { return `${this.getAttribute("example")}.py` }
  get requests() { return this.getAttribute("requests") }
  get code() { return this.editor?.value ?? this.source }

  get source() {
    const title = `examples/${this.label}`
    const code = [...document.querySelectorAll(".highlight")]
      .find(block => block.querySelector(".filename")?.textContent === title)
      .querySelector("code").cloneNode(true)
    code.querySelectorAll("del").forEach(line => line.remove())
    return code.textContent
  }

  open() {
    this.editor = make("textarea", { value: this.source, spellcheck: false, rows: this.source.split("\n").length + 1 })
    this.editor.setAttribute("aria-label", `${this.label}, editable`)
    this.status.before(this.editor)
    this.append(this.differs)
    this.edit.hidden = true
    this.reset.hidden = false
    this.editor.focus()
  }
})
