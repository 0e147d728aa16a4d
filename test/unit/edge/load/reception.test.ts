import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { createReception } from '../../../../services/edge/load/reception.ts';
import type { AppError } from '../../../../shared/request/errors.ts';
import { waitFor } from '../../../support/wait.ts';

const HEAD = 'POST / HTTP/1.1\r\na: b\r\n\r\n';
const limits = { count: 3, bytes: 1000, bodyBytes: 400, fairMs: 1000 };

/** Requests that say how long they will be (undefined: they do not), what came of them, and what became of them. */
function setUp() {
  let time = 0;
  const reception = createReception(limits, () => time);
  const dropped: string[] = [];
  const reasons: string[] = [];
  const socket = () => ({ bytesRead: 0 });
  const take = (
    name: string,
    length?: number,
    withinMs = 60_000,
    type = 'image/png',
    from = socket(),
    coding?: string,
  ) => {
    const headers = {
      'content-type': type,
      ...(coding && { 'content-encoding': coding }),
      ...(length === undefined ? {} : { 'content-length': String(length) }),
    };
    from.bytesRead += HEAD.length;
    const head = { method: 'POST', url: '/', rawHeaders: ['a', 'b'], socket: from };
    const request = Object.assign(new EventEmitter(), { headers, ...head }) as unknown as IncomingMessage;
    const guest = reception.admit(request, withinMs, (why: AppError) => {
      dropped.push(`${name} ${why.code}`);
      reasons.push(why.message);
    });
    const come = (bytes: number) => {
      from.bytesRead += bytes;
    };
    time += 1;
    return { ...guest, come, arrive: () => request.emit('end') };
  };
  const pass = (milliseconds: number) => {
    time += milliseconds;
  };
  return { reception, dropped, reasons, take, pass, socket };
}

describe('reception', () => {
  test('drops the oldest body that is still arriving when there are too many', () => {
    const { dropped, take } = setUp();
    take('a', 1);
    const b = take('b', 1);
    take('c', 1);
    b.arrive();
    take('d', 1);
    expect(dropped).toEqual([]);
    take('e', 1);
    expect(dropped).toEqual(['a request-timeout']);
  });

  test('refuses a new body rather than drop one that comes fast enough', () => {
    const { dropped, take, pass } = setUp();
    const guests = ['a', 'b', 'c'].map((name) => take(name, 300));
    for (const { come } of guests) come(100);
    pass(300);
    expect(() => take('d', 101)).toThrow('900 bytes of pictures are here or on their way already');
    for (const { come } of guests.slice(1)) come(100);
    pass(200);
    take('d', 101).come(101);
    expect(dropped).toEqual(['a request-timeout']);
  });

  test('drops a slow body even if its caller allows more time than usual', () => {
    const { dropped, take, pass } = setUp();
    take('slow', 333, 600_000, 'application/json').come(30);
    pass(200);
    take('a', 2).leave();
    expect(dropped).toEqual(['slow request-timeout']);
    take('nearly', 400, 600_000).come(399);
    take('b', 400).come(400);
    pass(900);
    expect(() => take('c', 400)).toThrow();
    pass(100);
    take('c', 400);
    expect(dropped).toEqual(['slow request-timeout', 'nearly request-timeout']);
  });

  test('counts for a request only the bytes after its head, also on a reused connection', () => {
    const { dropped, take, socket } = setUp();
    const camera = socket();
    const first = take('first', 300, 1000, 'image/png', camera);
    first.come(300);
    first.arrive();
    first.leave();
    take('second', 300, 1000, 'image/png', camera);
    take('b', 400).come(400);
    take('c', 400).come(400);
    expect(dropped).toEqual(['second request-timeout']);
  });

  test('drops as many as the bytes of a new body need; an unannounced length counts as the largest', () => {
    const { dropped, take } = setUp();
    take('a', 300);
    take('b', undefined);
    take('c', 300);
    expect(dropped).toEqual([]);
    take('d', 10_000); // refused later for its length: it never counts for more than is read of it
    expect(dropped).toEqual(['a request-timeout', 'b request-timeout']);
  });

  test('counts JSON three times, for it is kept as bytes, text and value while it is read', () => {
    const { dropped, take } = setUp();
    take('a', 250, undefined, 'application/json; charset=utf-8');
    take('b', 250);
    expect(dropped).toEqual([]);
    take('c', 1, undefined, 'Application/JSON');
    expect(dropped).toEqual(['a request-timeout']);
  });

  test('counts a compressed body as 32 times as large, at most as the largest, and JSON with its copies', () => {
    const { take, socket } = setUp();
    const compressed = (length: number | undefined, type = 'image/png') => {
      const guest = take('a', length, undefined, type, socket(), 'gzip');
      guest.arrive();
      return guest;
    };
    const guests = [compressed(10), compressed(3, 'application/json')];
    expect(() => take('b', 400)).toThrow('608 bytes of pictures');
    for (const { leave } of guests) leave();
    compressed(100);
    compressed(undefined);
    expect(() => take('b', 400)).toThrow('800 bytes of pictures');
  });

  test('counts a body of identity coding as it is', () => {
    const { take, socket } = setUp();
    take('a', 100, undefined, 'image/png', socket(), 'identity').arrive();
    for (const name of ['b', 'c']) take(name, 400).arrive();
    expect(() => take('d', 200)).toThrow('900 bytes of pictures');
  });

  test('counts more for a body that claims more, and refuses where there is no room', () => {
    const { dropped, take, socket } = setUp();
    const bomb = take('a', 1, undefined, 'image/png', socket(), 'gzip');
    bomb.arrive();
    bomb.claim(20);
    take('slow', 400);
    take('b', 400).arrive();
    bomb.claim(200);
    expect(dropped).toEqual([]);
    bomb.claim(201);
    expect(dropped).toEqual(['slow request-timeout']);
    expect(() => bomb.claim(601)).toThrow('601 bytes of pictures are here or on their way already');
    bomb.resize(100);
    bomb.claim(600);
    bomb.leave();
    bomb.claim(900);
    expect(() => take('c', 400)).not.toThrow();
  });

  test('drops nobody for a claim of bytes that are there', () => {
    const { dropped, take } = setUp();
    const guests = ['a', 'b', 'c'].map((name) => take(name, 10));
    guests[2]?.claim(100);
    expect(dropped).toEqual([]);
  });

  test('JSON that does not announce its length leaves room for others', () => {
    const { dropped, take } = setUp();
    take('a', undefined, undefined, 'application/json').come(400);
    take('b', 600);
    expect(dropped).toEqual([]);
  });

  test('refuses when the bytes belong to requests that have arrived, until these are answered', () => {
    const { dropped, take } = setUp();
    const guests = ['a', 'b'].map((name) => take(name, 400));
    for (const { arrive } of guests) arrive();
    expect(() => take('c', 300)).toThrow('800 bytes of pictures are here or on their way already');
    expect(dropped).toEqual([]);
    guests[0]?.leave();
    guests[0]?.leave();
    take('c', 300);
    expect(() => take('d', 301)).not.toThrow();
    expect(dropped).toEqual(['c request-timeout']);
  });

  test('counts a body that has arrived by its real size', () => {
    const { dropped, take } = setUp();
    for (const name of ['a', 'b', 'c']) {
      const guest = take(name, undefined);
      guest.arrive();
      guest.resize(10);
    }
    take('d', 400);
    expect(dropped).toEqual([]);
  });

  test('drops nobody where that would not make room', () => {
    const { dropped, take } = setUp();
    for (const name of ['a', 'b']) take(name, 400).arrive();
    take('c', 100);
    expect(() => take('d', 300)).toThrow('900 bytes of pictures are here or on their way already');
    expect(dropped).toEqual([]);
  });

  test('gives up what does not arrive in time, and nothing that has arrived', async () => {
    const { dropped, take } = setUp();
    take('slow', 1, 30);
    const quick = take('quick', 1, 20);
    quick.arrive();
    quick.resize(1);
    await waitFor(() => dropped.length > 0, 'the slow one to be dropped');
    expect(dropped).toEqual(['slow request-timeout']);
  });

  test('gives up what has arrived and is not unpacked in time', async () => {
    const { dropped, take } = setUp();
    take('bomb', 1, 20).arrive();
    await waitFor(() => dropped.length > 0, 'it to be dropped');
    expect(dropped).toEqual(['bomb request-timeout']);
  });

  test('tells callers that it drops what to do', () => {
    const { reasons, take } = setUp();
    for (const name of ['a', 'b', 'c', 'd']) take(name, 1);
    expect(reasons).toEqual([expect.stringMatching(/send it again, faster.* deadlineMs/)]);
  });
});
