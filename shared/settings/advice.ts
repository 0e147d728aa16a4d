import { showSetting } from './clean.ts';
import { describeSettings } from './help.ts';

/**
 * For an operator who passes arguments such as `--port 18201` or `PORT=18201`: the settings that are probably meant.
 */
export function adviseSettings(command: string, args: string[]): string {
  const names = describeSettings().map(({ name }) => name);
  const meant = args.flatMap((arg, i) => {
    const [, flag, inline] = /^-*([\w-]+)(?:=(.*))?$/.exec(arg) ?? [];
    const upper = flag?.toUpperCase().replaceAll('-', '_');
    const name = names.find((one) => one === upper || one === `ASK_${upper}`);
    if (name === undefined) return [];
    const shown = showSetting(name, inline ?? args[i + 1]);
    return shown === name ? `${name}=...` : shown;
  });
  const example = meant.length > 0 ? meant.join(' ') : 'PORT=8080';
  return `settings are given in the environment, before the command: ${example} ${command}`;
}

/** Flags that were meant for a service but that npm took, since no `--` came before them. */
export function flagsTakenByNpm(env: Record<string, string | undefined> = process.env): string[] {
  const names = describeSettings().flatMap(({ name }) => [name, name.replace(/^ASK_/, '')]);
  return [...new Set(names)].flatMap((name) => {
    const value = env[`npm_config_${name.toLowerCase()}`];
    if (value === undefined) return [];
    const flag = `--${name.toLowerCase().replaceAll('_', '-')}`;
    return [value === 'true' ? flag : `${flag}=${value}`];
  });
}
