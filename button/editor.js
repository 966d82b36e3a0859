// The editor of the playground, in place of a textarea: line numbers, colours, marks.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands"
import { python } from "@codemirror/lang-python"
import { indentUnit, syntaxHighlighting } from "@codemirror/language"
import { lintGutter, setDiagnostics } from "@codemirror/lint"
import { EditorView, drawSelection, keymap, lineNumbers } from "@codemirror/view"
import { classHighlighter } from "@lezer/highlight"

const colour = name => ({ color: `var(--md-code-hl-${name}-color)` })
const looks = EditorView.theme({
  "&": { maxHeight: "30rem", color: "var(--md-code-fg-color)", backgroundColor: "var(--md-code-bg-color)" },
  ".cm-scroller": { font: "inherit", overflow: "auto" },
  ".cm-content": { caretColor: "currentColor" },
  ".cm-gutters": { color: "var(--md-default-fg-color--light)", backgroundColor: "transparent", border: "none" },
  "&.cm-focused .cm-cursor": { borderLeftColor: "currentColor" },
  ".tok-keyword": colour("keyword"),
  ".tok-string, .tok-string2": colour("string"),
  ".tok-number": colour("number"),
  ".tok-comment": colour("comment"),
  ".tok-variableName.tok-definition": colour("function"),
  ".tok-bool, .tok-atom": colour("constant"),
})

// Take the place of that textarea, with its label; `changed` is called when its text has.
export const edit = (area, changed) => {
  // In a shadow its style needs no leave of the page's Content-Security-Policy.
  const host = document.createElement("div")
  host.className = "editor"
  const root = host.attachShadow({ mode: "open" })
  const focused = document.activeElement === area
  const { selectionStart: anchor, selectionEnd: head } = area
  area.after(host)
  area.hidden = true
  const view = new EditorView({
    doc: area.value,
    root,
    parent: root,
    extensions: [
      lineNumbers(), lintGutter(), history(), drawSelection(),
      python(), indentUnit.of("    "), syntaxHighlighting(classHighlighter), looks,
      keymap.of([...defaultKeymap, ...historyKeymap]), // Tab is not among them: it leaves
      EditorView.contentAttributes.of({ "aria-label": area.ariaLabel, spellcheck: "false" }),
      EditorView.updateListener.of(update => { if (update.docChanged) changed() }),
    ],
    selection: { anchor, head },
  })
  if (focused) view.focus()
  const doc = () => view.state.doc
  return {
    text: () => doc().toString(),
    replace: text => view.dispatch({ changes: { from: 0, to: doc().length, insert: text } }),
    mark: hints => view.dispatch(setDiagnostics(view.state, hints.filter(({ line }) => line <= doc().lines).map(
      ({ line, text }) => {
        const { from, to } = doc().line(line)
        return { from: from + (doc().line(line).text.search(/\S|$/)), to, severity: "warning", message: text }
      }))),
  }
}
