// Builds what the Run button loads: node button/build.mjs WHEELS OUT
// The elements and their worker, the editor in one file, Pyodide as it comes from npm, and archives with its standard
// library, FastAPI, this folder's Python and recording/: see packing.py, which packs them.
import fs from "node:fs"
import path from "node:path"
import { gzipSync } from "node:zlib"
import { createRequire } from "node:module"
import { build } from "esbuild"
import { loadPyodide } from "pyodide"

const [wheels, out] = process.argv.slice(2)
const here = import.meta.dirname
const scripts = ["element.js", "playground.js", "worker.js"]
const program = `
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

app = FastAPI()

class Order(BaseModel):
    item: str = "tea"

def send_receipt(item: str) -> None:
    print(item)

@app.post("/orders")
def create_order(order: Order, tasks: BackgroundTasks) -> Order:
    tasks.add_task(send_receipt, order.item)
    return order
`
const runtime = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]

const home = path.dirname(createRequire(import.meta.url).resolve("pyodide"))
const python = await loadPyodide({ env: { PYTHONNODEBUGRANGES: "1" } })
for (const wheel of fs.readdirSync(wheels))
  python.unpackArchive(new Uint8Array(fs.readFileSync(path.join(wheels, wheel))), "zip", { extractDir: "/env" })
for (const folder of [here, path.join(here, "..", "recording")]) {
  const name = `/env/${path.basename(folder)}`
  python.FS.mkdirTree(name)
  for (const file of fs.readdirSync(folder).filter(file => file.endsWith(".py")))
    python.FS.writeFile(`${name}/${file}`, fs.readFileSync(path.join(folder, file)))
}
python.FS.writeFile("/packing.py", fs.readFileSync(path.join(here, "packing.py")))
const packing = python.runPython("import sys; sys.path.insert(0, '/'); import packing; packing")
const packages = packing.packages("/env")

// What Python has imported when it has begun, and when a program has run.
const reader = await loadPyodide()
const imported = folder => reader.runPython(`
import sys
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
[file.removeprefix(${JSON.stringify(folder)}) for file in files if file.startswith(${JSON.stringify(folder)})]`).toJs()
const standard = reader.runPython("import os; os.__file__.removesuffix('os.py')")
reader.runPython("import tarfile, compression.zstd, encodings.cp437")  // what unpacks the rest
const begins = imported(standard)
reader.unpackArchive(packing.zipped(packages).toJs(), "zip", { extractDir: "/env" })
await reader.runPythonAsync(`
sys.path.insert(0, "/env")
from button import browser
from pathlib import Path
await browser.perform(${JSON.stringify(program)}, "POST /orders {}", lambda message: None)`)
const used = [...imported(standard), ...imported("/env/")]
const stdlib = python.toPy(new Uint8Array(fs.readFileSync(path.join(home, "python_stdlib.zip"))))
const packed = packing.pack(stdlib, packages, begins, used)

fs.rmSync(out, { recursive: true, force: true })
fs.mkdirSync(path.join(out, "pyodide"), { recursive: true })
for (const script of scripts)
  fs.copyFileSync(path.join(here, script), path.join(out, script))
const { metafile } = await build({
  entryPoints: [path.join(here, "editor.js")],
  outfile: path.join(out, "editor.js"),
  bundle: true, format: "esm", minify: true, target: "es2022", metafile: true,
})
const bundled = new Set(Object.keys(metafile.inputs).map(file => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean))
fs.writeFileSync(path.join(out, "editor.LICENSE.txt"), [...bundled].sort().map(folder =>
  `${folder.slice("node_modules/".length)}\n\n${fs.readFileSync(path.join(folder, "LICENSE"), "utf8")}`).join("\n"))
for (const file of runtime)
  fs.copyFileSync(path.join(home, file), path.join(out, "pyodide", file))
fs.writeFileSync(path.join(out, "pyodide", "python_stdlib.zip"), packed.begins.toJs())
fs.writeFileSync(path.join(out, "env.tar.zst"), packed.environment.toJs())
fs.writeFileSync(path.join(out, "later.zip"), packed.later.toJs())

// The licences of the packages are in the archive. Pyodide's npm package brings no text of its own.
const { version, license, repository } = JSON.parse(fs.readFileSync(path.join(home, "package.json")))
fs.writeFileSync(path.join(out, "pyodide", "LICENSE.txt"),
  `Pyodide ${version}, ${license}, but for its standard library, of which a part is compiled, and a part left out. Source: ${repository.url}\n` +
  `It contains CPython, under the Python Software Foundation License.\n`)

// What a reader loads, as a static host compresses it.
const loaded = [...runtime.map(file => `pyodide/${file}`), "env.tar.zst"]
const bytes = loaded.reduce((sum, file) => sum + gzipSync(fs.readFileSync(path.join(out, file))).length, 0)
fs.writeFileSync(path.join(out, "megabytes.txt"), (bytes / 1e6).toFixed(1))
