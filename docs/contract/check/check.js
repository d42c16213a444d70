// Checks the published documents: the JSON Schema with Ajv in strict mode and with
// generated TypeScript, AsyncAPI with its own parser, OpenAPI with the official schema.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { types } from './generate.js';

const problems = [];
const check = (document, found) => problems.push(...found.map((text) => `${document}: ${text}`));
const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');

const schema = JSON.parse(read('../conversation.schema.json'));

// Ajv compiles every definition. In strict mode it refuses what it only ignores otherwise.
const warnings = [];
const log = (...words) => warnings.push(words.join(' '));
const ajv = new Ajv.default({
  strict: true, allowUnionTypes: false, logger: { log, warn: log, error: log },
});
addFormats.default(ajv);
ajv.addSchema(schema, 'contract');
for (const name of Object.keys(schema.$defs)) {
  try {
    ajv.getSchema(`contract#/$defs/${name}`);
  } catch (error) {
    check(name, [error.message]);
  }
}
check('conversation.schema.json', warnings);

// The example has the generated types, in which required fields are required.
const generated = await types();
const example = 'examples/typescript/contract.ts';
if (read(`../../../${example}`) !== generated) check(example, ['differs from what npm run generate writes']);
for (const [name, definition] of Object.entries(schema.$defs)) {
  const [, body] = generated.match(new RegExp(`(?:interface|type) ${name}\\b([\\s\\S]*?)\\n\\}`)) ?? [, ''];
  const required = [definition, ...(definition.allOf ?? [])].flatMap((part) => part.required ?? []);
  check(`generated ${name}`, required
    .filter((field) => !new RegExp(`^ +${field}: `, 'm').test(body))
    .map((field) => `${field} is not required`));
}

// AsyncAPI refers to the JSON Schema beside it; the parser reads it from there.
const asyncAPI = await new Parser().parse(read('../asyncapi.yaml'), {
  source: new URL('../asyncapi.yaml', import.meta.url).pathname,
});
check('asyncapi.yaml', asyncAPI.diagnostics.filter((d) => d.severity === 0).map((d) => `${d.path.join('/')}: ${d.message}`));

const openAPI = await new Validator().validate(parse(read('../../../internal/receiver/openapi.yaml')));
check('openapi.yaml', openAPI.valid ? [] : openAPI.errors.map((e) => `${e.instancePath} ${e.message}`));

for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
