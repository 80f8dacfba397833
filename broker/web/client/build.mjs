/** Build the client, and the scripts of examples: `node build.mjs`; with `--package` for npm too. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { minify } from "terser";
import { shorten } from "./short.mjs";

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
const PAGES = {
  page: "broker.js",
  login: "broker-login.js",
  served: "broker-served.js",
  again: "broker-again.js",
};
/** What the others do not contain, but import from the first. */
const SHARED = /\/(connection|contract|current|errors|jellier|pending|promise|references|registry|streams|values)\.ts$/;

/**
 * The members that the modules of the client use among each other, and programs do not, by the
 * objects that have them. They get short names, as do those with an underscore; members of different
 * objects may get the same one.
 */
const INTERNAL = {
  session: `begin calls drains ended fault followed goodbye jelly lost mechanisms nextNumber put putGraph
    read reading ready receive receiver running terms transport watch writeObject`,
  calls: "answered callOn callTo failed lost open resolved sendTo write",
  incoming: "cancelled lost receive",
  sent: "again drop exported forgetAll objectOf published write",
  received: "again core drop end held make numberOf receive write",
  entry: "core count handle number object observer",
  reading: "begin lost receive receiveEnd receiveItems refuse",
  producing: "begin lost receiveCredit stopped takeTerms",
  stream: "ended failure frames granted left number ready source stopped used wake",
  frame: "body count row",
  jellier: "begin granted put sent undo write",
  met: "e number",
  request: "args method options toCache",
  call: `calls cameHome cleanup dependent fail failure flush granted id isReady method promise queue
    result settle settled underWay _reject _resolve`,
  promise: "_call _path",
  reference: "_calls _id",
  plan: "addresses credentials opener options",
  framing: "collect cut keep resume",
  transport: "write",
  offer: "mechanisms",
};
for (const [owner, names] of Object.entries(INTERNAL)) INTERNAL[owner] = names.match(/\w+/g);

/** What the first file exports for the others alone. */
const FOR_OTHERS =
  "Bound PendingCall arePlain attempt decode encode nameOf resultOf setCurrent streamOf typed".split(" ");

/** Build the files for pages. */
async function pages() {
  const codes = [];
  for (const entry of Object.keys(PAGES)) {
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
      plugins: [others],
      tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
      entryPoints: [`src/${entry}.ts`],
    });
    // The functions of a module become arrows, which are shorter. None of them uses `this`.
    const text = made.outputFiles[0].text.replace(
      /^(async )?function (\w+)(\([\s\S]*?\)) (\{\n[\s\S]*?^\})$/gm,
      "var $2 = $1$3 => $4;",
    );
    const { code } = await minify(text, {
      module: true,
      mangle: false,
      ecma: 2022,
      compress: {
        passes: 6,
        inline: 1,
        pure_getters: true,
        unsafe_arrows: true,
        keep_fargs: false,
        lhs_constants: false,
      },
      format: { preamble: `/*! ${name} ${version}, ${license} */` },
    });
    codes.push(code);
  }
  const files = Object.values(PAGES);
  for (const [i, code] of shorten(codes, INTERNAL, FOR_OTHERS).entries())
    writeFileSync(new URL(files[i], new URL(`${folder}/`, import.meta.url)), code + "\n");
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
