import { writeFileSync } from 'node:fs';
import { nkeys } from '@nats-io/transport-node';

/** `node infra/nats/nkey.ts FILE`: writes the seed of a new user into FILE, prints the public key for the broker. */
const [file] = process.argv.slice(2);
if (!file) throw new Error('name the file that the seed goes to');
const user = nkeys.createUser();
writeFileSync(file, user.getSeed(), { mode: 0o600, flag: 'wx' });
process.stdout.write(`${user.getPublicKey()}\n`);
