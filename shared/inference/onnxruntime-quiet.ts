/**
 * Imported before onnxruntime for its effect. Otherwise onnxruntime contacts its maker's server, keeps a device id in
 * the home folder and writes a log file per process. The variable is read when the library loads.
 */
process.env.ORT_DISABLE_TELEMETRY = '1';
