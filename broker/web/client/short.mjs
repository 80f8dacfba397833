/**
 * Short names, the last step of the build for pages.
 *
 * A minifier gives short names to the variables of the outer functions first, which leaves other ones
 * to each inner function. Here the innermost functions come first: nearly all of them get the same
 * letters, so that gzip finds the same text again. Members get short names as variables do: those of
 * different objects may have the same one, and a variable that holds a member has its name if it can.
 */
import { parse } from "acorn";

/** Any order is right. This one was found by trials: with it gzip makes the least of the client. */
const LETTERS = [..."naetsoricubdpglmwk_zTVjLvX$PFQxZqfGKDBYNMhUSIyOJEHCRAW"];
const WORDS = new Set(["do", "if", "in", "as", "of", "is"]);

/** The names, shortest first. */
function* shortest() {
  yield* LETTERS;
  for (const one of LETTERS)
    for (const other of [...LETTERS, ..."0123456789"]) if (!WORDS.has(one + other)) yield one + other;
}

/** Give the first name for which a test holds, or one of those that are wanted. */
function nameFor(isFree, wanted = []) {
  for (const short of wanted) if (isFree(short)) return short;
  for (const short of shortest()) if (isFree(short)) return short;
}

/** A function, a block or a class, with the variables that it declares. */
class Scope {
  variables = new Map();
  inner = [];

  constructor(outer) {
    this.outer = outer;
    outer?.inner.push(this);
  }

  /** Declare the names of a pattern. */
  declare(pattern) {
    if (pattern?.type === "Identifier") {
      // The scopes in which it is used, and those between; the members of what it holds.
      const variable = { scopes: new Set([this]), count: 0, members: new Set(), wanted: [] };
      if (!this.variables.has(pattern.name)) this.variables.set(pattern.name, variable);
    } else if (pattern) for (const each of parts(pattern)) this.declare(each);
  }

  /** Declare what the statements of a block declare. */
  declareAll(statements) {
    for (const each of statements) {
      if (/^(Function|Class)Declaration$/.test(each.type)) this.declare(each.id);
      else if (each.type === "ImportDeclaration")
        for (const { local } of each.specifiers) this.declare(local);
      else if (each.type === "VariableDeclaration" && each.kind !== "var")
        for (const { id } of each.declarations) this.declare(id);
    }
  }

  /** Declare what `var` declares, anywhere in a function. */
  declareVars(node) {
    for (const each of nodesIn(node)) {
      if (each.kind === "var") for (const { id } of each.declarations) this.declare(id);
      if (!/Function|^Class/.test(each.type)) this.declareVars(each);
    }
  }

  /** Return the variable with a name. */
  find(name) {
    return this.variables.get(name) ?? this.outer?.find(name);
  }
}

/** The patterns within a pattern. */
function parts({ type, properties, elements, left, argument }) {
  if (type === "ObjectPattern") return properties.map((each) => each.value ?? each.argument);
  return type === "ArrayPattern" ? elements : [left ?? argument];
}

const nodesIn = (node) =>
  Object.values(node)
    .flat()
    .filter((each) => typeof each?.type === "string");

/** A module: its variables, and where the names of variables and members stand. */
class Module {
  top = new Scope();
  /** Where a variable is used: the node of its name, the scope, and what is written. */
  uses = [];
  /** Where a member is used: the node of its name. */
  members = [];
  /** The members that are known to be of one object. */
  objects = new Set();

  constructor(code, names) {
    this.code = code;
    this.names = names;
    const program = parse(code, { ecmaVersion: 2022, sourceType: "module" });
    this.top.declareAll(program.body.map((each) => each.declaration ?? each));
    this.top.declareVars(program);
    this.walkAll(program.body, this.top);
  }

  walkAll(nodes, scope, object) {
    for (const each of nodes) if (each) this.walk(each, scope, object);
  }

  /** Note a member of an object. */
  member({ computed }, key, object) {
    if (computed || key.type !== "Identifier" || !this.names.isInternal(key.name)) return;
    this.members.push(key);
    object?.add(key.name);
  }

  /** Walk a node; `object` has the members of `this`. */
  walk(node, scope, object) {
    const { type, key, value, local } = node;
    if (type === "Identifier") this.uses.push({ node, scope, write: (short) => short });
    else if (/Function/.test(type)) this.walkFunction(node, scope, object);
    else if (/^Class(Declaration|Expression)$/.test(type)) this.walkClass(node, scope);
    else if (type === "ObjectExpression" || type === "ObjectPattern") {
      const own = new Set();
      this.objects.add(own);
      for (const each of node.properties)
        if (each.type === "Property") this.walkProperty(each, scope, own, object);
        else this.walk(each, scope, object);
    } else if (type === "MemberExpression") {
      const { object: of, property } = node;
      const held = of.type === "Identifier" ? scope.find(of.name)?.members : undefined;
      this.member(node, property, of.type === "ThisExpression" ? object : held);
      this.walkAll([of, node.computed && property], scope, object);
    } else if (type === "VariableDeclarator" && node.init?.type === "Identifier") {
      this.walkAll([node.id, node.init], scope, object);
      const held = scope.find(node.init.name)?.members;
      for (const { key } of node.id.properties ?? [])
        if (this.names.isInternal(key?.name)) held?.add(key.name);
    } else if (type === "MethodDefinition" || type === "PropertyDefinition") {
      this.member(node, key, object);
      this.walkAll([node.computed && key, value], scope, object);
    } else if (type === "ExportSpecifier") {
      const name = node.exported.name;
      const write = (short) => this.names.exportAs(name, short);
      this.uses.push({ node, name: local.name, scope, write });
    } else if (type === "ImportSpecifier") {
      const write = (short) => this.names.importAs(node.imported.name, short);
      this.uses.push({ node, name: local.name, scope, write });
    } else if (type !== "MetaProperty") {
      if (/^(BlockStatement|For.*Statement|SwitchStatement|CatchClause)$/.test(type)) {
        const { body, cases, init, left, param } = node;
        scope = new Scope(scope);
        scope.declare(param);
        const inner = cases?.flatMap((each) => each.consequent) ?? [init, left].filter(Boolean);
        scope.declareAll(type === "BlockStatement" ? body : inner);
      }
      this.walkAll(nodesIn(node), scope, object);
    }
  }

  walkProperty(node, scope, own, object) {
    const { key, value, computed, shorthand } = node;
    if (!shorthand) {
      this.member(node, key, own);
      return this.walkAll([computed && key, value], scope, object);
    }
    // `{ key }` and `{ key = 1 }` stand for a member and a variable.
    if (this.names.isInternal(key.name)) own.add(key.name);
    const write = (short) => {
      const name = this.names.member(key.name);
      return short === name ? short : `${name}:${short}`;
    };
    this.uses.push({ node: key, scope, write, wanted: key.name });
    if (value.right) this.walk(value.right, scope, object);
  }

  walkClass({ type, id, superClass, body }, scope) {
    if (type === "ClassExpression") scope = new Scope(scope);
    if (type === "ClassExpression") scope.declare(id);
    const own = new Set();
    this.objects.add(own);
    this.walkAll([id, superClass, body], scope, own);
  }

  walkFunction({ type, id, params, body }, scope, object) {
    if (type === "FunctionExpression") scope = new Scope(scope);
    if (type === "FunctionExpression") scope.declare(id);
    if (id) this.walk(id, scope);
    const own = new Scope(scope);
    for (const each of params) own.declare(each);
    this.walkAll(params, own, object);
    if (body.type === "BlockStatement") {
      own.declareAll(body.body);
      own.declareVars(body);
      this.walkAll(body.body, own, object);
    } else this.walk(body, own, object);
  }

  /** Find the variables that are used, and their scopes. */
  resolve() {
    this.taken = new Set();
    for (const use of this.uses) {
      const { node, scope, wanted } = use;
      use.variable = scope.find(use.name ?? node.name);
      // What is declared nowhere is global.
      if (!use.variable) {
        this.taken.add(node.name);
        continue;
      }
      const { variable } = use;
      variable.count++;
      if (wanted && this.names.isInternal(wanted)) variable.wanted.push(wanted);
      for (let at = scope; !variable.scopes.has(at); at = at.outer) variable.scopes.add(at);
      this.objects.add(variable.members);
    }
  }

  /** Give short names to the variables; return the code with them. */
  shortened() {
    const inScope = new Map();
    const give = (variable) => {
      const scopes = [...variable.scopes];
      const isFree = (short) =>
        !this.taken.has(short) && !scopes.some((scope) => inScope.get(scope)?.has(short));
      variable.short = nameFor(isFree, variable.wanted.map((each) => this.names.member(each)));
      for (const scope of scopes)
        inScope.set(scope, (inScope.get(scope) ?? new Set()).add(variable.short));
    };
    const giveAll = ({ inner, variables }) => {
      inner.forEach(giveAll);
      [...variables.values()].forEach(give);
    };
    this.top.inner.forEach(giveAll);
    // Those of the module follow by how often they are used.
    [...this.top.variables.values()].sort((one, other) => other.count - one.count).forEach(give);

    const texts = [
      ...this.uses.flatMap(({ node, write, variable }) =>
        variable ? [[node, write(variable.short)]] : [],
      ),
      ...this.members.map((node) => [node, this.names.member(node.name)]),
    ];
    let written = "";
    let at = 0;
    for (const [{ start, end }, text] of texts.sort(([one], [other]) => one.start - other.start)) {
      written += this.code.slice(at, start) + text;
      at = end;
    }
    return written + this.code.slice(at);
  }
}

/** The short names of members and of exports, which the modules have in common. */
class Names {
  short = new Map();
  exports = new Map();

  constructor(internal, shared) {
    this.internal = internal;
    this.all = new Set(Object.values(internal).flat());
    this.shared = shared;
  }

  /** Beside `_on` stand the methods of a contract, whose names may be short, too. */
  isInternal(name) {
    return this.all.has(name) || /^_(?!on$)/.test(name);
  }

  member(name) {
    return this.short.get(name) ?? name;
  }

  /** An internal name is exported as it is in the module. */
  exportAs(name, short) {
    if (!this.shared.includes(name)) return `${short} as ${name}`;
    this.exports.set(name, short);
    return short;
  }

  importAs(name, short) {
    const exported = this.exports.get(name) ?? name;
    return exported === short ? short : `${exported} as ${short}`;
  }

  /** Give short names to the members: the more a name is used, the sooner. */
  give(modules) {
    const counts = new Map();
    const rivals = new Map();
    for (const { members, uses } of modules)
      for (const name of [...members.map((each) => each.name), ...uses.map((each) => each.wanted)])
        if (name && this.isInternal(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
    const objects = modules.flatMap((each) => [...each.objects]);
    for (const each of [...Object.values(this.internal), ...objects])
      for (const name of each) rivals.set(name, new Set([...(rivals.get(name) ?? []), ...each]));
    for (const [name] of [...counts].sort(([, one], [, other]) => other - one)) {
      const taken = new Set([...(rivals.get(name) ?? [])].map((each) => this.short.get(each)));
      this.short.set(name, nameFor((short) => !taken.has(short)));
    }
  }
}

/**
 * Return modules with short names for variables, and for members. `internal` has the names of members
 * by the objects that have them; those with an underscore need not be there. `shared` are the exports
 * of the first module that only the others import.
 */
export function shorten(codes, internal, shared) {
  const names = new Names(internal, shared);
  const modules = codes.map((code) => new Module(code, names));
  for (const each of modules) each.resolve();
  names.give(modules);
  return modules.map((each) => each.shortened());
}
