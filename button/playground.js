// <run-playground>: runs the code that a reader has written, and packs it into a link.
import { Running, button, inSite, linkTo, make } from "./element.js"

const MOST = 100_000 // characters that a link may unpack to

const unpacked = async fragment => {
  const bytes = Uint8Array.from(atob(fragment.replaceAll("-", "+").replaceAll("_", "/")), byte => byte.charCodeAt(0))
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader()
  const decoder = new TextDecoder()
  let text = ""
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true })
    if (text.length > MOST) throw new Error("it is too long")
  }
  const { code, requests } = JSON.parse(text)
  if (typeof code !== "string" || typeof requests !== "string") throw new Error("there is no code in it")
  return { code, requests }
}

const download = (name, text) => {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }))
  make("a", { href: url, download: name }).click()
  URL.revokeObjectURL(url)
}

customElements.define("run-playground", class extends Running {
  connectedCallback() {
    if (this.run) return
    ;[this.area, this.lines] = this.querySelectorAll("textarea")
    this.begin(
      button("Copy link", () => this.copy()),
      button("Download main.py", () => download("main.py", this.code)),
      button("Download requests.sh", () => this.ask({ does: "shell", requests: this.requests })),
    )
    this.found = make("ul", { className: "hints" })
    this.append(this.found)
    for (const event of ["pointerenter", "focus"])
      this.area.addEventListener(event, () => this.upgrade(), { once: true })
    addEventListener("hashchange", () => this.open())
    this.open()
  }

  get label() { return "main.py" }
  get code() { return this.editor ? this.editor.text() : this.area.value }
  get requests() { return this.lines.value }

  // The editor is loaded when the reader turns to the code.
  async upgrade() {
    this.upgrading ??= import("./editor.js")
    const { edit } = await this.upgrading
    this.editor ??= edit(this.area, () => this.changed())
  }

  changed() {
    clearTimeout(this.later)
    this.later = setTimeout(() => this.idle && this.ask({ does: "check", code: this.code }), 500)
  }

  async open() {
    const fragment = location.hash.slice(1)
    if (!fragment || document.getElementById(fragment)) return
    try {
      const { code, requests } = await unpacked(fragment)
      this.editor ? this.editor.replace(code) : this.area.value = code
      this.lines.value = requests
      this.onHints({ hints: [] })
      this.status.textContent = "This code came with the link. Read it before you run it."
    } catch (error) {
      this.status.textContent = `The link holds nothing that can be shown: ${error.message}.`
    }
  }

  async copy() {
    const link = await linkTo(this.code, this.requests)
    history.replaceState(null, "", link)
    const told = await navigator.clipboard.writeText(link).then(() => "Copied", () => "In the address bar")
    this.status.textContent = `${told}: a link of ${link.length.toLocaleString("en")} characters, with code and requests in it.`
  }

  start() {
    this.ask({ does: "check", code: this.code })
    super.start()
  }

  onHints({ hints }) {
    this.found.replaceChildren(...hints.map(({ line, text, page }) => {
      const item = make("li", {}, `Line ${line}: ${text} `)
      if (page) item.append(make("a", { href: inSite(page), textContent: "Why" }))
      return item
    }))
    this.editor?.mark(hints)
  }

  onShell({ text }) {
    download("requests.sh", text)
    this.status.textContent = ""
  }

  onFailed({ text }) {
    if (this.output) return super.onFailed({ text })
    this.status.textContent = text
  }
})
