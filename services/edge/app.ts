import multipart from '@fastify/multipart';
import swagger from '@fastify/swagger';
import Fastify, { LogController } from 'fastify';
import { jsonSchemaTransform, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { AppError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { VERSION } from '../../shared/version.ts';
import { mediaTypes, PIXELS_TYPE } from '../../shared/wire.ts';
import type { Admission } from './admission.ts';
import type { ClassifyDependencies } from './classify.ts';
import type { Directory } from './directory.ts';
import { createGuard } from './guard.ts';
import type { KeyRing } from './key-ring.ts';
import { createConnectionHandler, createErrorHandler, isLast, noteRequest, requireHost } from './problem.ts';
import { acceptJson } from './read-json.ts';
import type { Reception } from './reception.ts';
import { classifyRoutes } from './routes/classify.ts';
import { consoleRoutes } from './routes/console.ts';
import { statusRoutes } from './routes/status.ts';
import { securitySchemes } from './schemas.ts';
import { createSecurityHeaders } from './security-headers.ts';

export interface AppDependencies extends ClassifyDependencies {
  log: Log;
  directory: Directory;
  admission: Admission;
  reception: Reception;
  /** Whose bearers alone may call; undefined: anyone. */
  keys: KeyRing | undefined;
  maxBodyBytes: number;
  deadlineMs: number;
  /** What the process is doing; `/classify` answers only when it is ready. */
  phase(): 'starting' | 'ready' | 'stopping';
  /** False: the generalist could not be run when it last was. */
  works(): boolean;
}

/** The HTTP side of the edge: limits, errors and routes. Reads no environment and opens no socket. */
export async function buildApp(dependencies: AppDependencies) {
  const { keys, metrics } = dependencies;
  const errorHandler = createErrorHandler(metrics, dependencies.log);
  const app = Fastify({
    loggerInstance: dependencies.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: dependencies.maxBodyBytes,
    requestTimeout: 30_000,
    return503OnClosing: false, // the routes say `stopping` themselves, as a problem document
    frameworkErrors: errorHandler,
    clientErrorHandler: createConnectionHandler(metrics),
    http: { requireHostHeader: false }, // Node's own refusal is no problem document: `requireHost` says it
  }).withTypeProvider<ZodTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((request) => {
    throw new AppError('not-found', `${request.method} ${request.url} is not served here`);
  });
  // Nobody needs to meet another expectation than 100-continue; left alone, Node refuses it without a problem document.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.server.on('request', noteRequest);
  app.addHook('onRequest', requireHost);
  app.addHook('onRequest', createSecurityHeaders());
  if (keys) app.addHook('onRequest', createGuard(keys, metrics));
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    if (dependencies.phase() !== 'stopping') return done(null, payload);
    // A connection that stays open after its last answer would keep a stopping process waiting. But Node hangs up at once
    // after such an answer: a caller still sending a body would lose it, and another request behind it has its own to come.
    // What came with the headers is read by then.
    setImmediate(() => {
      if (raw.complete && isLast(reply.raw)) reply.header('connection', 'close');
      else reply.raw.removeHeader('connection');
      done(null, payload);
    });
  });
  app.removeContentTypeParser(['text/plain', 'application/json']);
  acceptJson(app);
  app.addContentTypeParser([...mediaTypes, PIXELS_TYPE], { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  await app.register(multipart, {
    limits: { fileSize: dependencies.maxBodyBytes, files: 2, fields: 1, parts: 3, headerPairs: 50 },
  });
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: 'Ask the Expert', version: VERSION }, ...(keys && securitySchemes) },
    transform: jsonSchemaTransform,
  });
  await app.register(classifyRoutes, dependencies);
  await app.register(statusRoutes, dependencies);
  await app.register(consoleRoutes, dependencies);
  return app;
}
