/** An expert that may be asked. */
export interface Candidate {
  expert: string;
  /** Top-k probability mass, or expected gain in nats; see the manifest's `routing.scoring`. */
  score: number;
}
