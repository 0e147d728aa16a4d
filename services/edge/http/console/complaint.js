/** A message to the user instead of an answer. */
export class Complaint extends Error {}
