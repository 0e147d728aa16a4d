import { X509Certificate } from 'node:crypto';

/** The certificates in PEM that a text holds. Throws Error if there is none, or one that cannot be read. */
export function readCertificates(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (!blocks) throw new Error('there is none');
  return blocks.map((block) => new X509Certificate(block));
}
