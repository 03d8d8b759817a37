// Files in, answer out: what was dropped or chosen, and how it is sent.

// Every file of a drop, folders included, each with its path in the folder as name.
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((i) => i.kind === "file").map((i) => i.webkitGetAsEntry?.() ?? i.getAsFile());
  const found = [];
  for (const entry of entries) await collect(entry, "", found);
  return found.length ? found : [...transfer.files].map((file) => ({ file, name: file.name }));
}

async function collect(entry, folder, found) {
  if (!entry || found.length > 5000) return;
  if (entry instanceof File) {
    found.push({ file: entry, name: entry.name });
  } else if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    if (!file.name.startsWith(".")) found.push({ file, name: folder + file.name });
  } else {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) break;
      for (const inner of some) await collect(inner, `${folder}${entry.name}/`, found);
    }
  }
}

// The files of an input, with their path in the chosen folder as name.
export function chosen(input) {
  return [...input.files].filter((f) => !f.name.startsWith(".")).map((file) => ({ file, name: file.webkitRelativePath || file.name }));
}

// Why files cannot be sent, as a key of the words with its values, or null.
export function obstacle(files, limits) {
  if (!files.length) return { say: "nothing" };
  if (limits.max_files && files.length > limits.max_files) return { say: "tooMany", values: { n: files.length, max: limits.max_files } };
  const mb = files.reduce((sum, { file }) => sum + file.size, 0) / 1e6;
  if (limits.max_upload_mb && mb > limits.max_upload_mb) return { say: "tooLarge", values: { mb: mb.toFixed(1), max: limits.max_upload_mb } };
  return null;
}

// Send files; onProgress gets 0 .. 1. Gives { done: Promise<answer>, stop() }.
export function send(files, query, onProgress) {
  const request = new XMLHttpRequest();
  const form = new FormData();
  for (const { file, name } of files) form.append("files", file, name);
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (e) => e.lengthComputable && onProgress(e.loaded / e.total);
    request.upload.onload = () => onProgress(1);
    request.onerror = () => reject({ say: "offline" });
    request.onabort = () => reject({ say: "stopped" });
    request.onload = () => {
      const body = request.response;
      if (request.status === 200 && body) resolve(body);
      else reject(body?.error ? { ...body.error, failures: body.failures } : { say: "offline", status: request.status });
    };
  });
  request.open("POST", `/v1/predict?${new URLSearchParams(query)}`);
  request.responseType = "json";
  request.send(form);
  return { done, stop: () => request.abort() };
}
