import { findNatsServer } from './find-nats-server.ts';

/** Before any test: the runtime is the pinned one, and there is a nats-server. */
export default async function setup(): Promise<void> {
  if (!process.version.startsWith('v24.')) {
    throw new Error(`tests run on the Node 24 of the npm package 'node', not on ${process.version}; use 'npm test'`);
  }
  process.env.NATS_SERVER_BIN = await findNatsServer();
}
