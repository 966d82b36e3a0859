// A page can be read before Material's script is there: it comes when the reader first moves, touches
// or types, and its search worker and index when the reader turns to the search.
{
  const first = (events, when = () => true) => new Promise(resolve => {
    for (const name of events)
      addEventListener(name, event => when(event) && resolve(), { passive: true, capture: true })
  })
  const wanted = first(["focusin"], event => event.target.closest(".md-search"))

  window.Worker = class extends EventTarget {
    constructor(...options) {
      super()
      if (!/workers\/search/.test(options[0])) return new this.constructor.Real(...options)
      this.ready = wanted.then(() => {
        const worker = new this.constructor.Real(...options)
        worker.onmessage = ({ data }) => this.dispatchEvent(new MessageEvent("message", { data }))
        return worker
      })
    }
    static Real = Worker
    postMessage(message) { this.ready.then(worker => worker.postMessage(message)) }
  }

  const { open, send } = XMLHttpRequest.prototype
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    this.waits = /search_index\.json$/.test(url)
    open.call(this, method, url, ...rest)
  }
  XMLHttpRequest.prototype.send = function (body) {
    this.waits ? wanted.then(() => send.call(this, body)) : send.call(this, body)
  }

  document.documentElement.classList.replace("no-js", "js") // shows the search
  if (!__md_get("__palette") && matchMedia("(prefers-color-scheme: dark)").matches)
    document.body.dataset.mdColorScheme = "slate" // as the script will, before it has a choice to keep
  // The script moves tables into boxes of its own: what is clicked just then would not be clicked.
  let released = Promise.resolve()
  addEventListener("pointerdown", () => {
    released = first(["pointerup", "pointercancel"]).then(() => new Promise(next => setTimeout(next, 50)))
  }, { passive: true, capture: true })
  first(["pointermove", "pointerdown", "keydown", "focusin", "scroll"]).then(() => {
    const script = document.createElement("script")
    script.src = document.querySelector("[data-later]").dataset.later
    script.onload = () => released.then(() => document.dispatchEvent(new Event("DOMContentLoaded"))) // it waits for that
    document.body.append(script)
  })
}
