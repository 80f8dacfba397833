/** Build the client, and the scripts of examples: `node build.mjs`; with `--package` for npm too. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { minify } from "terser";

const { name, version, license } = JSON.parse(
  readFileSync(new URL("package.json", import.meta.url)),
);
const folder = process.argv.slice(2).find((each) => !each.startsWith("--")) ?? "../static";

const common = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
};

/** The files for pages. The first one loads the others when they are used. */
const PAGES = { page: "broker.js", login: "broker-login.js", again: "broker-again.js" };
/** What the others do not contain, but import from the first. */
const SHARED = /\/(errors|connection|contract|pending|promise|references|values)\.ts$/;

/** Names of members that the modules of the client use among each other, and programs do not. */
const INTERNAL = `
  again answered args begin callOn calls cameHome cleanup core dependent drains fail failure fault
  goodbye handle held home isBusy keep make mechanisms named nextNumber numberOf observer over receive
  refuse row sent settle settled takeTerms terms toCache underWay undo used writeObject
`.match(/\w+/g);

/** Build the files for pages. These names, and those with an underscore, may be short. */
async function pages() {
  let mangleCache = {};
  for (const [entry, file] of Object.entries(PAGES)) {
    const others = {
      name: "others",
      setup({ onResolve }) {
        onResolve({ filter: /\.ts$/ }, ({ kind, path }) => {
          const other = kind === "dynamic-import" && PAGES[path.slice(2, -3)];
          const shared = entry !== "page" && SHARED.test(path) && PAGES.page;
          return other || shared ? { path: `./${other || shared}`, external: true } : undefined;
        });
      },
    };
    const made = await build({
      ...common,
      write: false,
      minifySyntax: true,
      mangleProps: new RegExp(`^(_.*|${INTERNAL.join("|")})$`),
      mangleCache,
      plugins: [others],
      tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
      entryPoints: [`src/${entry}.ts`],
    });
    ({ mangleCache } = made);
    const { code } = await minify(made.outputFiles[0].text, {
      module: true,
      ecma: 2022,
      compress: {
        passes: 6,
        inline: 1,
        pure_getters: true,
        unsafe_arrows: true,
        keep_fargs: false,
      },
      format: { preamble: `/*! ${name} ${version}, ${license} */` },
    });
    writeFileSync(new URL(file, new URL(`${folder}/`, import.meta.url)), code + "\n");
  }
}

/** Build the scripts of the example's pages, readable; they load the client from their server. */
async function chat(to) {
  await build({
    ...common,
    banner: { js: "// Made by esbuild from the file of this name in TypeScript." },
    alias: { "perspective-broker": "/broker.js" },
    external: ["/broker.js"],
    entryPoints: ["talk", "admin"].map((each) => `../../../examples/chat/pages/${each}.ts`),
    outdir: to,
  });
}

/** Build the page of operators: the charts are those of uPlot, whose licence is in the file. */
async function admin(to) {
  const licence = readFileSync(new URL("node_modules/uplot/LICENSE", import.meta.url), "utf-8");
  await build({
    ...common,
    minify: true,
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
    banner: { js: `/*! ${name} ${version}, ${license}; with uPlot:\n\n${licence.trim()}\n*/` },
    alias: { "perspective-broker": "/broker.js" },
    external: ["/broker.js"],
    entryPoints: ["admin/admin.ts", "admin/admin.css"],
    outdir: to,
  });
  for (const file of ["admin.html", "icon.svg"])
    copyFileSync(new URL(`admin/${file}`, import.meta.url), new URL(`${to}/${file}`, import.meta.url));
}

await pages();
await admin(folder === "../static" ? "../admin" : `${folder}/page`);
await chat(folder === "../static" ? "../../../examples/chat/pages" : folder);
if (process.argv.includes("--package"))
  await build({
    ...common,
    platform: "node",
    banner: { js: `/*! ${name} ${version}, ${license} */` },
    entryPoints: ["src/browser.ts", "src/node.ts"],
    splitting: true,
    outdir: folder === "../static" ? "dist" : `${folder}/dist`,
  });
