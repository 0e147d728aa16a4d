import { Complaint } from './complaint.js';

/** Far more than the models look at. */
const LONGEST = 1280;
const MANY_PIXELS = 16_000_000;

/** Formats by their first bytes; those with a media type are sent as they are. */
const formats = [
  { name: 'JPEG', begins: /^\xff\xd8\xff/, type: 'image/jpeg' },
  { name: 'PNG', begins: /^\x89PNG/, type: 'image/png' },
  { name: 'WebP', begins: /^RIFF.{4}WEBP/s, type: 'image/webp' },
  { name: 'GIF', begins: /^GIF8/ },
  { name: 'BMP', begins: /^BM/ },
  { name: 'TIFF', begins: /^(II|MM.)\*/s },
  { name: 'AVIF', begins: /^.{4}ftypavi[fs]/s },
  { name: 'HEIC', begins: /^.{4}ftyp(he[iv]|m[is]f1)/s },
  { name: 'JPEG XL', begins: /^(\xff\n|.{4}JXL )/s },
  { name: 'PDF', begins: /^%PDF/ },
  { name: 'SVG', begins: /^\s*<(\?xml.*<)?(svg|!DOCTYPE svg)/s },
];

/** A file's format, if it is one of those above, and the browser's image of it, if it can show it. Throws Complaint. */
export async function openPicture(file) {
  const head = await file
    .slice(0, 1024)
    .arrayBuffer()
    .catch(() => {
      throw new Complaint('This cannot be read: it is a folder, or it was moved or changed meanwhile.');
    });
  if (head.byteLength === 0) throw new Complaint('This file is empty.');
  const text = String.fromCharCode(...new Uint8Array(head));
  const format = formats.find(({ begins }) => begins.test(text));
  return { file, format, image: await show(file) };
}

/** What to send of a picture, and what was done to it. Throws Complaint where that is nothing. */
export async function prepare(picture, maxBytes) {
  const { file, format, image } = picture;
  const pixels = image ? image.naturalWidth * image.naturalHeight : 0;
  if (format?.type && file.size <= maxBytes && pixels <= MANY_PIXELS) return keep(picture);
  if (image === undefined && format?.type) {
    throw new Complaint(
      `This file has ${toMegabytes(file.size)}, the service takes at most ${toMegabytes(maxBytes)}, and this browser cannot show it to shrink it. It was not sent.`,
    );
  }
  if (image === undefined) throw new Complaint(refuse(format));
  return convert(picture, maxBytes).catch((error) => {
    // The service may read what this browser cannot.
    if (format?.type && file.size <= maxBytes) return keep(picture);
    throw error;
  });
}

/** Draws a picture anew as PNG, so small that the service takes it. Throws Complaint. */
export async function convert({ format, image }, maxBytes) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const name = format?.name ?? 'a format of its own';
  const hopeless = () => {
    throw new Complaint(`This browser cannot convert this picture (${name}, ${width} × ${height}). It was not sent.`);
  };
  await image.decode().catch(hopeless);
  for (let longest = Math.min(LONGEST, Math.max(width, height)); longest > 16; longest /= 2) {
    const canvas = draw(image, Math.min(1, longest / Math.max(width, height)));
    if (isBlank(canvas)) hopeless();
    const body = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    if (body === null || body.size > maxBytes) continue;
    const shrunk = canvas.width !== width && `shrunk from ${width} × ${height} to ${canvas.width} × ${canvas.height}`;
    const converted = name !== 'PNG' && `converted from ${name} to PNG`;
    const done = [shrunk, converted].filter(Boolean).join(' and ');
    if (!done) break;
    return { body, note: `In this browser ${done} before it was sent.` };
  }
  return hopeless();
}

function keep({ file, format }) {
  return { body: file.slice(0, file.size, format.type), note: '' };
}

function refuse(format) {
  const what = format
    ? `This browser cannot show this ${format.name} file`
    : 'This is no picture that this browser can show';
  return `${what}, so it was not sent. Save it as JPEG, PNG or WebP and choose that.`;
}

async function show(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  const shown = await new Promise((resolve) => {
    image.onload = () => resolve(image.naturalWidth > 0);
    image.onerror = () => resolve(false);
  });
  URL.revokeObjectURL(image.src);
  return shown ? image : undefined;
}

/** As the picture's own note of its orientation says, like the image. */
function draw(image, scale) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
  canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Nothing was drawn: browsers say nothing when a picture is too large for them. */
function isBlank(canvas) {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return !new Uint32Array(data.buffer).some(Boolean);
}

function toMegabytes(bytes) {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
