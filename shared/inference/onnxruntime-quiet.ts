/**
 * Imported before onnxruntime, for its effect: left alone, that looks up and calls its maker's server, keeps a device
 * id in the home folder and writes a log file for each process. It reads this when its library is loaded.
 */
process.env.ORT_DISABLE_TELEMETRY = '1';
