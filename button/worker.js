// Python in a Web Worker. Gets {source, requests}; posts what browser.py posts, and "status".
const base = new URL("./", import.meta.url)
const status = text => postMessage({ type: "status", text })

const load = async () => {
  const { loadPyodide } = await import(new URL("pyodide/pyodide.mjs", base))
  const archive = fetch(new URL("env.zip", base)).then(response => {
    if (!response.ok) throw new Error(`${response.status} for ${response.url}`)
    return response.arrayBuffer()
  })
  const stderr = text => postMessage({ type: "output", text })
  const python = await loadPyodide({ indexURL: new URL("pyodide/", base).href, stderr, stdout: () => {} })
  python.unpackArchive(await archive, "zip", { extractDir: "/lib/env" })
  status("Importing FastAPI…")
  await python.runPythonAsync("import sys; sys.path.insert(0, '/lib/env'); import fastapi, button.browser")
  return python.pyimport("button.browser").perform
}

let perform
onmessage = async ({ data: { source, requests } }) => {
  try {
    perform ??= await load()
  } catch (error) {
    return postMessage({ type: "unavailable", text: String(error.message ?? error).trim().split("\n").at(-1) })
  }
  status("Running…")
  await perform(source, requests, message => postMessage(JSON.parse(message)))
}
