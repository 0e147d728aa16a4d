/** A bundle that cannot be used; the message names the file or the field. */
export class BundleError extends Error {
  override name = 'BundleError';
}
