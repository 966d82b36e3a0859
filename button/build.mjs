// Builds what the Run button loads: node button/build.mjs WHEELS OUT
// The elements and their worker, the editor in one file, Pyodide as it comes from npm, and one archive with FastAPI, this
// folder's Python and recording/, compiled by Pyodide's own Python so that nothing is compiled
// in the reader's browser.
import fs from "node:fs"
import path from "node:path"
import { gzipSync } from "node:zlib"
import { createRequire } from "node:module"
import { build } from "esbuild"
import { loadPyodide } from "pyodide"

const [wheels, out] = process.argv.slice(2)
const here = import.meta.dirname
const scripts = ["element.js", "playground.js", "worker.js"]
const runtime = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]

const home = path.dirname(createRequire(import.meta.url).resolve("pyodide"))
const python = await loadPyodide()
for (const wheel of fs.readdirSync(wheels))
  python.unpackArchive(new Uint8Array(fs.readFileSync(path.join(wheels, wheel))), "zip", { extractDir: "/env" })
for (const folder of [here, path.join(here, "..", "recording")]) {
  const name = `/env/${path.basename(folder)}`
  python.FS.mkdirTree(name)
  for (const file of fs.readdirSync(folder).filter(file => file.endsWith(".py")))
    python.FS.writeFile(`${name}/${file}`, fs.readFileSync(path.join(folder, file)))
}
const archive = await python.runPythonAsync(`
import compileall, io, pathlib, zipfile

LEFT_OUT = ("fastapi/cli", "anyio/_backends/_trio", "anyio/pytest_plugin", "pydantic/v1/", "pydantic/mypy", "recording/processes", "recording/shape")
env = pathlib.Path("/env")
compileall.compile_dir(env, legacy=True, quiet=1, optimize=2, stripdir="/env")
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for file in sorted(p for p in env.rglob("*") if p.is_file()):
        name = file.relative_to(env).as_posix()
        source = file.suffix in (".py", ".pyi") and name != "anyio/__init__.py"
        compiled_twice = name == "anyio/__init__.pyc"  # anyio reads its own source
        unused = "__pycache__" in name or "/sboms/" in name or name.startswith(LEFT_OUT) or name.endswith("/RECORD")
        if source or compiled_twice or unused:
            continue
        data = file.read_bytes()
        if name.endswith(".dist-info/METADATA"):
            data = data.partition(b"\\n\\n")[0] + b"\\n"  # the fields, without the README below them
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
packed.getvalue()
`).then(bytes => bytes.toJs())

// The standard library comes as source. What FastAPI imports is compiled here, once, and what
// nobody imports in a browser is left out.
const reader = await loadPyodide()
reader.unpackArchive(archive, "zip", { extractDir: "/env" })
python.globals.set("files", await reader.runPythonAsync(`
import sys
sys.path.insert(0, "/env")
import fastapi, button.browser
" ".join(getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
`))
python.FS.writeFile("/stdlib.zip", fs.readFileSync(path.join(home, "python_stdlib.zip")))
const stdlib = await python.runPythonAsync(`
import importlib._bootstrap_external as external

LEFT_OUT = (
    "_pyrepl/", "multiprocessing/", "pydoc_data/", "turtle", "xmlrpc/", "wsgiref/",
    "imaplib", "ftplib", "poplib", "smtplib", "nntplib", "pdb", "doctest", "pickletools", "_pyio",
    "encodings/mac_", "encodings/cp", "encodings/iso", "encodings/koi", "encodings/big5", "encodings/euc",
)
inside = "python314.zip/"
used = {file.partition(inside)[2] for file in files.split()}
source, packed = zipfile.ZipFile("/stdlib.zip"), io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for name in source.namelist():
        data = source.read(name)
        if name in used and name.endswith(".py"):
            code = compile(data, f"/lib/{inside}{name}", "exec", dont_inherit=True, optimize=2)
            name, data = f"{name}c", bytes(external._code_to_timestamp_pyc(code))
        elif name.startswith(LEFT_OUT):
            continue
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
packed.getvalue()
`)

fs.rmSync(out, { recursive: true, force: true })
fs.mkdirSync(path.join(out, "pyodide"), { recursive: true })
for (const script of scripts)
  fs.copyFileSync(path.join(here, script), path.join(out, script))
const { metafile } = await build({
  entryPoints: [path.join(here, "editor.js")],
  outfile: path.join(out, "editor.js"),
  bundle: true, format: "esm", minify: true, target: "es2022", metafile: true,
})
const packed = new Set(Object.keys(metafile.inputs).map(file => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean))
fs.writeFileSync(path.join(out, "editor.LICENSE.txt"), [...packed].sort().map(folder =>
  `${folder.slice("node_modules/".length)}\n\n${fs.readFileSync(path.join(folder, "LICENSE"), "utf8")}`).join("\n"))
for (const file of runtime)
  fs.copyFileSync(path.join(home, file), path.join(out, "pyodide", file))
fs.writeFileSync(path.join(out, "env.zip"), archive)
fs.writeFileSync(path.join(out, "pyodide", "python_stdlib.zip"), stdlib.toJs())

// The licences of the packages are in the archive. Pyodide's npm package brings no text of its own.
const { version, license, repository } = JSON.parse(fs.readFileSync(path.join(home, "package.json")))
fs.writeFileSync(path.join(out, "pyodide", "LICENSE.txt"),
  `Pyodide ${version}, ${license}, but for its standard library, of which a part is compiled, and a part left out. Source: ${repository.url}\n` +
  `It contains CPython, under the Python Software Foundation License.\n`)

// What a reader loads, as a static host compresses it.
const loaded = [...runtime.map(file => `pyodide/${file}`), "env.zip"]
const bytes = loaded.reduce((sum, file) => sum + gzipSync(fs.readFileSync(path.join(out, file))).length, 0)
fs.writeFileSync(path.join(out, "megabytes.txt"), (bytes / 1e6).toFixed(1))
