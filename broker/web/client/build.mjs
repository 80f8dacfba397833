/** Build the client: `node build.mjs` for the page, `node build.mjs --package` for npm too. */
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const { name, version, license } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));
const folder = process.argv.slice(2).find((each) => !each.startsWith("--")) ?? "../static";

const common = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: `/*! ${name} ${version}, ${license} */` },
};

// Names with an underscore are private: they may be short.
const small = { minify: true, mangleProps: /^_/ };
await build({
  ...common,
  ...small,
  entryPoints: ["src/browser.ts"],
  outfile: `${folder}/broker.js`,
});
if (process.argv.includes("--package"))
  await build({
    ...common,
    platform: "node",
    entryPoints: ["src/browser.ts", "src/node.ts"],
    outdir: "dist",
  });
