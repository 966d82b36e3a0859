// Python in a Web Worker. Is asked to "load" it, to "run" code with requests, to "check" code, or for
// requests as a "shell" script; posts what browser.py posts, "status" and "loaded".
const base = new URL("./", import.meta.url)
const status = text => postMessage({ type: "status", text })

const load = async () => {
  const { loadPyodide } = await import(new URL("pyodide/pyodide.mjs", base))
  const archive = fetch(new URL("env.tar.zst", base)).then(response => {
    if (!response.ok) throw new Error(`${response.status} for ${response.url}`)
    return response.arrayBuffer()
  })
  const stderr = text => postMessage({ type: "output", text })
  const python = await loadPyodide({ indexURL: new URL("pyodide/", base).href, stderr, stdout: () => {} })
  python.unpackArchive(await archive, "zstdtar", { extractDir: "/lib/env" })
  status("Importing FastAPI…")
  await python.runPythonAsync(`
import sys
sys.path.insert(0, "/lib/env")
from button.later import Finder
sys.meta_path.append(Finder())
import fastapi, button.browser`)
  return python.pyimport("button.browser")
}

let loading
onmessage = async ({ data: { does, code, requests } }) => {
  const post = message => postMessage(JSON.parse(message))
  let python
  try {
    python = await (loading ??= load())
  } catch (error) {
    loading = undefined
    return postMessage({ type: "unavailable", text: String(error.message ?? error).trim().split("\n").at(-1) })
  }
  postMessage({ type: "loaded" })
  if (does === "load") return
  if (does === "check") return python.check(code, post)
  if (does === "shell") return python.shell(requests, post)
  status("Running…")
  await python.perform(code, requests, post)
}
