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
    return503OnClosing: false, // the routes say `stopping` themselves, as a problem document
    frameworkErrors: errorHandler,
    clientErrorHandler: createConnectionHandler(metrics),
    http: { requireHostHeader: false }, // Node's own refusal is no problem document: `requireHost` says it
  }).withTypeProvider<ZodTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(errorHandler);
  // Nobody needs to meet another expectation than 100-continue; left alone, Node refuses it without a problem document.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  app.server.on('request', noteRequest);
  app.addHook('onRequest', requireHost);
  app.addHook('onRequest', createSecurityHeaders());
  // Before keys are asked for: browsers ask first, without one, whether they may ask.
  if (corsOrigins.length > 0) await app.register(cors, corsOptions(corsOrigins));
  if (keys) app.addHook('onRequest', createGuard(keys, metrics));
  const requireRoute = createRouteCheck(app);
  app.addHook('onRequest', requireRoute);
  app.setNotFoundHandler(requireRoute);
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    if (dependencies.phase() !== 'stopping') return done(null, payload);
    // A connection that stays open after its last answer would keep a stopping process waiting. But Node hangs up at
    // once after such an answer: a caller still sending a body would lose it, and another request behind it has its own
    // to come. What came with the headers is read by then.
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
