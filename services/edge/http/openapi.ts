import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { VERSION } from '../../../shared/settings/version.ts';
import { mediaTypes, PIXELS_TYPE } from '../../../shared/wire/picture.ts';
import type { QuerySchema } from './query.ts';

const binary = (description: string) => ({ schema: { type: 'string', format: 'binary', description } });

/** The bodies that `read-picture.ts` accepts. */
function describeBody(query: QuerySchema) {
  const { properties = {} } = z.toJSONSchema(query, { io: 'input' });
  const beside = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => {
      const { default: _, ...rest } = schema as Record<string, unknown>; // the query's default applies
      return [name, { ...rest, description: 'as in the query, which goes before it' }];
    }),
  );
  const file = binary('a JPEG, PNG or WebP file; the bytes say which, whatever the type');
  return {
    required: true,
    description: 'One picture. It may be compressed, once (`content-encoding`: gzip, deflate, br or zstd).',
    content: {
      ...Object.fromEntries(['application/octet-stream', ...mediaTypes].map((type) => [type, file])),
      [PIXELS_TYPE]: binary(
        `pixels, 8-bit RGB, row by row; the type says their layout: ${PIXELS_TYPE}; width=W; height=H`,
      ),
      'multipart/form-data': {
        schema: {
          type: 'object',
          description: 'The picture may be called file as well. Other parts are passed over.',
          properties: {
            image: { type: 'string', format: 'binary', description: 'the picture: the bytes of a file, or base64' },
            ...beside,
          },
          required: ['image'],
        },
      },
      'application/json': {
        schema: {
          type: 'object',
          properties: {
            image: {
              type: 'string',
              contentEncoding: 'base64',
              description: 'a JPEG, PNG or WebP file in base64, or a data: URL of it',
            },
            ...beside,
          },
          required: ['image'],
        },
      },
    },
  };
}

const securitySchemes = {
  bearer: { type: 'http' as const, scheme: 'bearer' },
  header: { type: 'apiKey' as const, in: 'header' as const, name: 'x-api-key' },
};

interface Description {
  components: { schemas: Record<string, object> };
  paths: Record<string, { post?: { requestBody?: object } }>;
}

/** The API description at `/openapi.json`. `keys`: callers must send one. */
export function describeApi(query: QuerySchema, keys: boolean): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Ask the Expert',
        version: VERSION,
        description:
          'Classifies pictures: a small generalist answers what it is sure of, and asks an expert for the rest.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'the server that this description is from' }],
      tags: [
        { name: 'classify', description: 'Pictures in, labels out' },
        { name: 'status', description: 'How the service and its experts are' },
      ],
      ...(keys && { components: { securitySchemes } }),
      security: keys ? [{ bearer: [] }, { header: [] }] : [],
    },
    transform: jsonSchemaTransform,
    transformObject(document) {
      const described = jsonSchemaTransformObject(document) as Description;
      const { schemas } = described.components;
      // Zod also describes each schema as input; these are output only.
      for (const name of Object.keys(schemas)) if (name.endsWith('Input')) delete schemas[name];
      const { post } = described.paths['/classify'] ?? {};
      if (post) post.requestBody = describeBody(query);
      return described as never;
    },
  };
}
