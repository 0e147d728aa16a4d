// Loaded into a service before it starts: on SIGWINCH its wall clock jumps an hour ahead, the next time two hours back.
// The machine's own clock cannot be moved without moving everybody's.
const HOUR = 3_600_000;
const { now } = Date;
let ahead = 0;

Date.now = () => now() + ahead;
process.on('SIGWINCH', () => {
  ahead = ahead <= 0 ? HOUR : -HOUR;
});

export {};
