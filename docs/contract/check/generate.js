// Generates TypeScript from the JSON Schema, and writes it to the standard output.
import { readFileSync } from 'node:fs';
import { compile } from 'json-schema-to-typescript';

const banner = `// The payloads of the workflow Conversation, generated from docs/contract/conversation.schema.json.
// To generate this file again: npm run --silent generate, in docs/contract/check.`;

/** The types of all definitions of the schema. */
export async function types() {
  const text = readFileSync(new URL('../conversation.schema.json', import.meta.url), 'utf8');
  const generated = await compile({ ...JSON.parse(text), title: 'Contract' }, 'Contract', {
    additionalProperties: false, bannerComment: banner, style: { singleQuote: true, printWidth: 120 }, unreachableDefinitions: true,
  });
  return generated
    .replace(/ \*\n \* This interface was referenced by[^\n]*\n[^\n]*\n/g, '')
    .replace(/\/\*\*\n \* This interface was referenced by[^\n]*\n[^\n]*\n \*\/\n/g, '');
}

if (process.argv[1] === new URL(import.meta.url).pathname) process.stdout.write(await types());
