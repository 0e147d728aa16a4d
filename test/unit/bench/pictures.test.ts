import { expect, test } from 'vitest';
import { PICTURES, repeated } from '../../bench/pictures.ts';

test.each(Object.values(PICTURES))(
  'bench pictures: repeat about as often as asked, and otherwise never: $type',
  (picture) => {
    const pool = [Buffer.from('a'.repeat(20)), Buffer.from('b'.repeat(20))];
    const draw = (share: number) => {
      const next = repeated(pool, share, picture);
      expect(next()).toHaveLength(picture.type.startsWith('image/x-rgb8') ? 20 : 28);
      return new Set(Array.from({ length: 1000 }, () => next().toString('hex'))).size;
    };
    expect(draw(0)).toBe(1000);
    expect(draw(0.5)).toBeGreaterThan(430);
    expect(draw(0.5)).toBeLessThan(570);
  },
);
