import { expect, test } from 'vitest';
import { z } from 'zod';
import { replayAll } from '../../services/cli/calibrate/curve.ts';
import { readPredictions } from '../../services/cli/calibrate/predictions.ts';
import { loadBundle } from '../../shared/bundle/load.ts';
import { viewCascade } from '../../shared/bundle/view.ts';

const heldSchema = z.object({
  threshold: z.number(),
  accuracy: z.number(),
  escalated: z.number(),
  edgeAccuracy: z.number(),
  alwaysAskAccuracy: z.number(),
});

/** Training and serving each have their own gate, router and merge: on the stored predictions they must agree. */
test('parity: the committed policy reaches in the services what training measured of it', async () => {
  const bundle = await loadBundle('models/default');
  const held = heldSchema.parse(bundle.manifest.provenance.held);
  const pictures = replayAll(viewCascade(bundle.manifest), await readPredictions(bundle), true);
  const share = (of: (picture: (typeof pictures)[number]) => boolean) => pictures.filter(of).length / pictures.length;
  const found = {
    escalated: share(({ value }) => value < held.threshold),
    edgeAccuracy: share(({ edgeRight }) => edgeRight),
    alwaysAskAccuracy: share(({ expertRight }) => expertRight),
    accuracy: share(({ value, edgeRight, expertRight }) => (value < held.threshold ? expertRight : edgeRight)),
  };
  for (const [name, value] of Object.entries(found)) {
    // A picture on the edge between two answers may fall either way: doubles here, single precision there.
    expect(Math.abs(value - held[name as keyof typeof found]), name).toBeLessThanOrEqual(2 / pictures.length + 5e-5);
  }
});
