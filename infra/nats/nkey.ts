import { writeFileSync } from 'node:fs';
import { nkeys } from '@nats-io/transport-node';
import { readArguments, refuse } from '../../shared/service/arguments.ts';

const name = 'nkey.ts';
const help = `node_modules/.bin/node infra/nats/nkey.ts FILE
Writes the seed of a new user into FILE, which must not be there yet, and prints the public key for the broker.`;

const { positionals } = readArguments({ name, help: () => help, allowPositionals: true });
const [file, ...rest] = positionals;
if (!file || rest.length > 0) refuse(name, 'name one file, which the seed goes to');
const user = nkeys.createUser();
try {
  writeFileSync(file, user.getSeed(), { mode: 0o600, flag: 'wx' });
} catch (error) {
  process.stderr.write(`${name}: ${(error as Error).message}\n`);
  process.exit(1);
}
process.stdout.write(`${user.getPublicKey()}\n`);
