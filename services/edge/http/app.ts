import cors from '@fastify/cors';
import swagger from '@fastify/swagger';
import Fastify, { LogController } from 'fastify';
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { createGuard } from '../keys/guard.ts';
import { corsOptions } from './cors.ts';
import type { AppDependencies } from './dependencies.ts';
import { createRouteCheck } from './methods.ts';
import { describeApi } from './openapi.ts';
import {
  createConnectionHandler,
  createErrorHandler,
  isLast,
  noteRequest,
  REQUEST_MS,
  requireHost,
} from './problem.ts';
import { classifyRoutes } from './routes/classify.ts';
import { consoleRoutes } from './routes/console.ts';
import { statusRoutes } from './routes/status.ts';
import { createSecurityHeaders } from './security-headers.ts';

/** The HTTP side of the edge: limits, errors and routes. Reads no environment and opens no socket. */
export async function buildApp(dependencies: AppDependencies) {
  const { corsOrigins, keys, metrics } = dependencies;
  const errorHandler = createErrorHandler(metrics, dependencies.log);
  const app = Fastify({
    loggerInstance: dependencies.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: dependencies.maxBodyBytes,
    requestTimeout: REQUEST_MS,
    return503OnClosing: false, // the routes answer `stopping` themselves, as a problem document
    frameworkErrors: errorHandler,
    clientErrorHandler: createConnectionHandler(metrics),
    http: { requireHostHeader: false }, // Node's own refusal is not a problem document: `requireHost` checks it
  }).withTypeProvider<ZodTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(errorHandler);
  // Expectations other than 100-continue are ignored. Left alone, Node would refuse them without a problem document.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.server.on('request', noteRequest);
  app.addHook('onRequest', requireHost);
  app.addHook('onRequest', createSecurityHeaders());
  // Before the guard: browsers send a preflight request without a key.
  if (corsOrigins.length > 0) await app.register(cors, corsOptions(corsOrigins));
  if (keys) app.addHook('onRequest', createGuard(keys, metrics));
  const requireRoute = createRouteCheck(app);
  app.addHook('onRequest', requireRoute);
  app.setNotFoundHandler(requireRoute);
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    if (dependencies.phase() !== 'stopping') return done(null, payload);
    // A connection that stays open after its last answer would keep a stopping process waiting. But Node closes it
    // right after an answer with `connection: close`: a caller that is still sending a body would lose the answer, and
    // a request behind it on the connection would get none. What came with the headers has been read by the check
    // phase.
    setImmediate(() => {
      if (raw.complete && isLast(reply.raw)) reply.header('connection', 'close');
      else reply.raw.removeHeader('connection');
      done(null, payload);
    });
  });
  await app.register(swagger, describeApi(dependencies.querySchema, keys !== undefined));
  await app.register(classifyRoutes, dependencies);
  await app.register(statusRoutes, dependencies);
  await app.register(consoleRoutes, dependencies);
  return app;
}
