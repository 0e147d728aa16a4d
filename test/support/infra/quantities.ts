/** Bytes of a quantity of memory: 320Mi, 1Gi. */
export function bytesOf(quantity: string): number {
  const [, number, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? [];
  return Number(number) * 2 ** (unit === 'Gi' ? 30 : 20);
}

/** Thousandths of a core of a quantity of processor: 250m, 2. */
export function milliOf(quantity: string): number {
  const [, number, unit] = /^(\d+)(m?)$/.exec(quantity) ?? [];
  return Number(number) * (unit === 'm' ? 1 : 1000);
}
