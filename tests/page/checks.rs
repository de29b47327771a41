//! What is asked inside a page.

/// Elements that stick out of the window and aren't inside a part that scrolls.
pub const OVERFLOW: &str = r#"(() => {
  const root = document.scrollingElement;
  if (root.scrollWidth <= innerWidth) return [];
  const out = [...document.body.querySelectorAll("*")].filter(e =>
    !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1);
  return out.slice(0, 5).map(e => e.tagName + "." + e.getAttribute("class")).concat([String(root.scrollWidth)]);
})()"#;

/// Texts whose contrast is below WCAG's AA: 4.5, or 3 where they are large.
pub const CONTRAST: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const root = getComputedStyle(document.documentElement);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, title, .hidden, .skip, .past")) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    const on = isSvg && [...element.classList].find((c) => c.startsWith("on-"));
    const behind = on ? rgba(root.getPropertyValue("--" + on.slice(3))) : ground(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(rgba(isSvg ? style.fill : style.color), behind);
    if (found < (large ? 3 : 4.5)) faint.push(`${walker.currentNode.data.trim().slice(0, 40)} ${found.toFixed(2)} ${element.getAttribute("class")}`);
  }
  return { texts, faint: faint.slice(0, 10) };
})()"#;
