import type { Bus } from '../../../shared/bus/bus.ts';
import type { Log } from '../../../shared/observe/log.ts';
import type { ClassifyDependencies } from '../classify.ts';
import type { ExpertHealth } from '../experts/circuit.ts';
import type { Directory } from '../experts/directory.ts';
import type { KeyRing } from '../keys/key-ring.ts';
import type { Admission } from '../load/admission.ts';
import type { Reception } from '../load/reception.ts';
import type { QuerySchema } from './query.ts';

export interface AppDependencies extends ClassifyDependencies {
  log: Log;
  bus: Bus;
  /** What callers may ask. */
  querySchema: QuerySchema;
  health(expert: string): ExpertHealth;
  directory: Directory;
  admission: Admission;
  reception: Reception;
  /** Whose bearers alone may call; undefined: anyone. */
  keys: KeyRing | undefined;
  /** Whose pages may ask from a browser. */
  corsOrigins: string[];
  maxBodyBytes: number;
  deadlineMs: number;
  /** What the process is doing; `/classify` answers only when it is ready. */
  phase(): 'starting' | 'ready' | 'stopping';
  /** False: the generalist could not be run when it last was. */
  works(): boolean;
}
