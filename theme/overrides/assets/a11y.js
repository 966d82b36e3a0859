// Material gives these no accessible name of their own, or all of them the same one.
const name = (selector, label) =>
  document.querySelectorAll(selector).forEach((element, index) =>
    element.setAttribute("aria-label", label(element, index + 1)))

const nameAll = () => {
  name(".md-search[role=dialog]", () => "Search")
  name("nav.md-code__nav", (_, number) => `Code actions ${number}`)
}

nameAll()
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true })

// Whoever pastes a file should get the file, as it is, without what a change removes: Material's
// copy button takes this attribute. Sessions are left to it; the stylesheet hides prompts and output.
document.addEventListener("click", event => {
  const button = event.target.closest(".language-python [data-clipboard-target]")
  if (!button) return
  const code = document.querySelector(button.dataset.clipboardTarget).cloneNode(true)
  code.querySelectorAll("del").forEach(line => line.remove())
  button.dataset.clipboardText = code.textContent
}, { capture: true })

// A fold opens by the box above it, which needs no script, or by a click.
document.addEventListener("click", event => {
  const fold = event.target.closest(".fold")
  if (fold) fold.closest(".highlight").querySelector(".whole input").click()
})
