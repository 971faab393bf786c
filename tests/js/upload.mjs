// Uploads a file with tus-js-client and tells what happens, one JSON object a line. At half-way it says so and
// either aborts, or waits for a line on stdin before it goes on.
import fs from "node:fs";
import readline from "node:readline";
import tus from "tus-js-client";

const { endpoint, token, file, storage, atHalf } = JSON.parse(process.argv[2]);
const size = fs.statSync(file).size;
const tell = (event) => console.log(JSON.stringify(event));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let hold = null;

const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: file.split("/").pop() },
  chunkSize: Math.ceil(size / 8),
  uploadSize: size,
  retryDelays: Array(600).fill(50),
  urlStorage: new tus.FileUrlStorage(storage),
  fingerprint: async () => file,
  onBeforeRequest: () => hold,
  onAfterResponse: (request, response) => tell({ method: request.getMethod(), status: response.getStatus() }),
  onShouldRetry: (error) => {
    tell({ retry: error.message });
    return true;
  },
  onChunkComplete: (_, accepted) => {
    if (accepted < size / 2 || hold !== null) return;
    tell({ half: accepted });
    if (atHalf === "abort") upload.abort().then(() => process.exit(0));
    if (atHalf === "wait") hold = lines.next();
  },
  onSuccess: () => {
    tell({ done: upload.url });
    process.exit(0);
  },
  onError: (error) => {
    tell({ error: error.message });
    process.exit(1);
  },
});

const earlier = await upload.findPreviousUploads();
if (earlier.length) upload.resumeFromPreviousUpload(earlier[0]);
upload.start();
