/** What the user is told instead of an answer. */
export class Complaint extends Error {}
