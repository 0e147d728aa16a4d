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
  /** The parameters of `/classify`. */
  querySchema: QuerySchema;
  health(expert: string): ExpertHealth;
  directory: Directory;
  admission: Admission;
  reception: Reception;
  /** The keys of those who may call; undefined: anyone may. */
  keys: KeyRing | undefined;
  /** Whose pages may call from a browser. */
  corsOrigins: string[];
  maxBodyBytes: number;
  deadlineMs: number;
  /** What the process is doing; `/classify` answers only when it is ready. */
  phase(): 'starting' | 'ready' | 'stopping';
  /** False: the latest run of one of this device's models failed. */
  works(): boolean;
}
