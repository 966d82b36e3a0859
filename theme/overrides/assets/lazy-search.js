// Material loads its search worker and the index of the whole site with every page.
// Here both wait until the reader turns to the search.
{
  const wanted = new Promise(resolve =>
    addEventListener("focusin", event => event.target.closest(".md-search") && resolve()))

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
}
