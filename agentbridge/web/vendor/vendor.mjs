// Bundles what package-lock.json names into ui.js and jssip.js, and writes VENDOR.json and LICENSES beside them.
// Run by `make web-vendor`; nothing of Node is needed to install, run or test agentbridge.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url).pathname;
const lock = JSON.parse(readFileSync(`${here}package-lock.json`, "utf8"));
const bundles = {
  "ui.js": ["preact", "@preact/signals", "@preact/signals-core", "htm"],
  "jssip.js": ["jssip", "debug", "ms", "events", "sdp-transform"],
};
const vendored = {};
const licences = [];
for (const [file, packages] of Object.entries(bundles)) {
  await build({
    entryPoints: [`${here}${file.replace(".js", ".entry.mjs")}`],
    outfile: `${here}${file}`,
    bundle: true, format: "esm", minify: true, legalComments: "none", target: "es2022",
  });
  vendored[file] = {
    sha256: createHash("sha256").update(readFileSync(`${here}${file}`)).digest("hex"),
    packages: packages.map((name) => {
      const { version, license, integrity } = lock.packages[`node_modules/${name}`];
      const folder = `${here}node_modules/${name}`;
      const text = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
      licences.push(`${name} ${version}\n\n${text ? readFileSync(`${folder}/${text}`, "utf8") : `Licence: ${license}\n`}`);
      return { name, version, license, integrity };
    }),
  };
}
writeFileSync(`${here}VENDOR.json`, `${JSON.stringify(vendored, null, 2)}\n`);
writeFileSync(`${here}LICENSES`, licences.join(`\n${"-".repeat(80)}\n\n`));
