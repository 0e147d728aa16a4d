import { X509Certificate } from 'node:crypto';

/** The PEM certificates in a text. Throws Error if there is none, or one that cannot be read. */
export function readCertificates(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (!blocks) throw new Error('there is none');
  return blocks.map((block) => new X509Certificate(block));
}
