import { settings } from './settings.ts';

/** Defaults that depend on the machine or on other settings. */
const computed: Record<string, string> = {
  ASK_MODELS_DIR: "the program's own models/default",
  ASK_WORKERS: 'one per core',
  ASK_BATCH_MAX: 'generalist 4, experts 2; on an accelerator 8 and 32',
};

/** Name, default and meaning of every setting, for `--help` and for the README's table. */
export function describeSettings(): { name: string; fallback: string; meaning: string }[] {
  return Object.entries(settings).map(([name, setting]) => {
    const parsed = setting.safeParse(undefined).data;
    const fallback = computed[name] ?? String(parsed ?? '');
    return { name, fallback, meaning: setting.description ?? '' };
  });
}

export function helpText(usage: string): string {
  const rows = describeSettings().map(({ name, fallback, meaning }) => {
    return `  ${name.padEnd(24)}${meaning}${fallback ? ` (${fallback})` : ''}`;
  });
  const others = '  OTEL_*                  the standard OpenTelemetry settings; without them nothing is traced';
  return `${usage}\n\nSettings, from the environment (default):\n${rows.join('\n')}\n${others}\n`;
}
