import { makeVisible } from './visible.ts';

const MAX_SHOWN = 100; // characters of a wrong value that are shown

type Environment = Record<string, string | undefined>;

// Values that may begin or end with blanks.
const VERBATIM = /^ASK_NATS_(USER|PASSWORD)$/;

/** Names a wrong setting with its value, unless that may hold a secret: people put passwords into addresses. */
export function showSetting(name: string, value: string | undefined): string {
  return /NATS|KEY/.test(name) ? name : `${name}=${makeVisible(value ?? '', MAX_SHOWN)}`;
}

/**
 * The environment variables that are settings or begin with `ASK_`, trimmed; without empty ones and those with which
 * Kubernetes describes a Service. `mistakes`: values that no setting can have; they are left out.
 */
export function cleanSettings(env: Environment, isSetting: (name: string) => boolean) {
  const given: Record<string, string> = {};
  const mistakes: string[] = [];
  for (const [name, value = ''] of Object.entries(env)) {
    if (!(isSetting(name) || name.startsWith('ASK_')) || isServiceLink(name, value)) continue;
    const text = VERBATIM.test(name) ? value : value.trim();
    const shown = showSetting(name, value);
    const control = /\p{Cc}/u.exec(text)?.[0];
    if (control !== undefined) mistakes.push(`${shown}: holds ${makeVisible(control)}: remove it`);
    else if (!VERBATIM.test(name) && /^(["']).*\1$/.test(text))
      mistakes.push(`${shown}: has quotes around it, which not every reader of an env file takes away: leave them out`);
    else if (text !== '') given[name] = text;
  }
  return { given, mistakes };
}

/** Kubernetes gives every pod such variables for each Service, also for one whose name begins with `ask-`. */
function isServiceLink(name: string, value: string): boolean {
  return (
    /^ASK_.*_SERVICE_(HOST|PORT(_\w+)?)$/.test(name) ||
    /^ASK_.*_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (/^ASK_.*_PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value))
  );
}
