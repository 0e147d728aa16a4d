import { Complaint } from './complaint.js';

/** Far more pixels than the models look at. */
const LONGEST = 1280;
const MANY_PIXELS = 16_000_000;

/** Browsers show such a picture without a warning, and a redrawn one looks whole to the service. */
const CUT = ' Its file ends early: part of the picture is missing.';

/** Formats by their first bytes; those with a media type are sent as they are. A whole file has `ends` near its end. */
const formats = [
  { name: 'JPEG', begins: /^\xff\xd8\xff/, type: 'image/jpeg', ends: /\xff\xd9/ },
  { name: 'PNG', begins: /^\x89PNG/, type: 'image/png', ends: /IEND/ },
  { name: 'WebP', begins: /^RIFF.{4}WEBP/s, type: 'image/webp' },
  { name: 'GIF', begins: /^GIF8/ },
  { name: 'BMP', begins: /^BM/ },
  { name: 'TIFF', begins: /^(II|MM.)\*/s },
  { name: 'HEIC', begins: /^ftyp(he[iv][cxms]|(mif1|msf1).*he[iv][cxms])/ },
  { name: 'AVIF', begins: /^ftyp(av(if|is)|(mif1|msf1|miaf).*av(if|is))/ },
  { name: 'HEIF', begins: /^ftyp(mif[12]|msf1|miaf|j2ki|jpeg|avci|vvic)/ },
  { name: 'JPEG XL', begins: /^(\xff\n|.{4}JXL )/s },
  { name: 'PDF', begins: /^%PDF/ },
  { name: 'SVG', begins: /^\s*<(\?xml.*<)?(svg|!DOCTYPE svg)/s },
];

/** The format of a file, if it is one of those above, and the browser's image, if it can show it. Throws Complaint. */
export async function openPicture(file) {
  const head = await readText(file.slice(0, 1024));
  if (head === '') throw new Complaint('This file is empty.');
  const brands = readBrands(head);
  const format = formats.find(({ begins }) => begins.test(head) || begins.test(brands));
  const cut = format?.ends !== undefined && !format.ends.test(await readText(file.slice(-65_536)));
  return { file, format, cut, image: await show(file) };
}

/** What to send of a picture, and how it was changed. Throws Complaint if nothing can be sent. */
export async function prepare(picture, maxBytes) {
  const { file, format, image } = picture;
  const pixels = image ? image.naturalWidth * image.naturalHeight : 0;
  if (format?.type && file.size <= maxBytes && pixels <= MANY_PIXELS) return keep(picture);
  if (image === undefined && format?.type) {
    throw new Complaint(
      `This file has ${toMegabytes(file.size)}, the service takes at most ${toMegabytes(maxBytes)}, ` +
        'and this browser cannot show it to shrink it. It was not sent.',
    );
  }
  if (image === undefined) throw new Complaint(refuse(format));
  return convert(picture, maxBytes).catch((error) => {
    // The service may decode what this browser cannot.
    if (format?.type && file.size <= maxBytes) return keep(picture);
    throw error;
  });
}

/** Redraws a picture as a PNG that is small enough for the service. Throws Complaint. */
export async function convert({ format, image, cut }, maxBytes) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const hopeless = () => {
    throw new Complaint(`This browser cannot convert this picture of ${width} × ${height} pixels. It was not sent.`);
  };
  await image.decode().catch(hopeless);
  const side = Math.max(width, height);
  for (let longest = Math.min(LONGEST, side); longest >= 1; longest /= 2) {
    const canvas = draw(image, longest / side);
    if (isBlank(canvas)) hopeless();
    const body = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
    if (body === null || body.size > maxBytes) continue;
    const done = [];
    if (longest < side) done.push(`shrunk from ${width} × ${height} to ${canvas.width} × ${canvas.height}`);
    if (format === undefined) done.push('converted to PNG');
    else if (format.name !== 'PNG') done.push(`converted from ${format.name} to PNG`);
    if (done.length === 0) break;
    return { body, note: `In this browser ${done.join(' and ')} before it was sent.${cut ? CUT : ''}` };
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

/** The brands of a file that begins with `ftyp`, the major one first. The service reads them in the same way. */
function readBrands(head) {
  if (head.slice(4, 8) !== 'ftyp') return '';
  const length = (head.charCodeAt(2) << 8) + head.charCodeAt(3);
  return `ftyp${head.slice(8, 12)}${head.slice(16, Math.min(length, 256))}`;
}

/** One character per byte. */
async function readText(blob) {
  const buffer = await blob.arrayBuffer().catch(() => {
    throw new Complaint('This cannot be read: it is a folder, or it was moved or changed meanwhile.');
  });
  return Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('');
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

/** Honours the picture's EXIF orientation, as the image does. */
function draw(image, scale) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
  canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Nothing was drawn. Browsers report no error when a picture is too large for them. */
function isBlank(canvas) {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return !new Uint32Array(data.buffer).some(Boolean);
}

function toMegabytes(bytes) {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
