function () {
  const out = [];
  const fault = (...words) => out.push(words.join(' '));
  const name = (e) => e.tagName.toLowerCase() + (e.getAttribute('class') ? '.' + e.getAttribute('class').trim().replaceAll(' ', '.') : '') + ' "' + e.textContent.trim().slice(0, 40) + '"';
  const seen = (e) => e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true }) && e.getClientRects().length > 0;
  const print = matchMedia('print').matches;

  // Nothing is wider than the page.
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) fault('the page scrolls sideways:', root.scrollWidth, 'px in', root.clientWidth);
  const scrolls = (e) => !print && e.closest('.scroll');
  const texts = [];
  for (const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); w.nextNode();) {
    const e = w.currentNode.parentElement;
    if (!w.currentNode.data.trim() || e.closest('.skip') || !seen(e)) continue;
    const r = document.createRange();
    r.selectNodeContents(w.currentNode);
    for (const box of r.getClientRects()) { // one a line
      if (box.width < 1 || box.height < 1) continue;
      texts.push({ e, box });
      if (!scrolls(e) && (box.left < -1 || box.right > root.clientWidth + 1)) fault('cut off at the edge of the page:', name(e));
    }
  }

  // Text in a chart neither overlaps other text of it nor leaves it.
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  const charts = new Map();
  for (const t of texts) {
    const chart = t.e.closest('.plot, .bars, .levels, .hist, .trend, .picture, .tiles, .answers, .ends, .curve');
    if (chart) charts.has(chart) ? charts.get(chart).push(t) : charts.set(chart, [t]);
  }
  for (const [chart, mine] of charts) {
    const frame = chart.getBoundingClientRect();
    for (let i = 0; i < mine.length; i++) {
      const a = mine[i];
      if (a.box.left < frame.left - 2 || a.box.right > frame.right + 2 || a.box.top < frame.top - 2 || a.box.bottom > frame.bottom + 2) fault('leaves its chart:', name(a.e));
      for (let j = 0; j < i; j++) if (meet(a.box, mine[j].box)) fault('overlap:', name(a.e), 'and', name(mine[j].e));
    }
    for (const graphic of chart.querySelectorAll(':scope > li > svg')) {
      const g = graphic.getBoundingClientRect();
      for (const t of mine) if (!graphic.contains(t.e) && meet(t.box, g)) fault('lies over a graphic:', name(t.e));
    }
  }
  for (const box of document.querySelectorAll('.picture rect.box')) {
    const r = box.getBoundingClientRect();
    for (let e = box.nextElementSibling; e && e.tagName === 'text'; e = e.nextElementSibling) {
      const t = e.getBoundingClientRect();
      if (t.left < r.left + 2 || t.right > r.right - 2 || t.top < r.top || t.bottom > r.bottom) fault('does not fit its box:', name(e), Math.round(t.width), 'px in', Math.round(r.width));
    }
  }

  // Text can be read: 4.5 to 1, as WCAG 2.2 asks of small text.
  const rgb = (s) => { const m = s.match(/rgba?\(([^)]*)\)/); const v = m ? m[1].split(/[ ,/]+/).map(Number) : [0, 0, 0, 0]; return v.length < 4 ? [...v, 1] : v; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; if (c[3] > 0) fault('half transparent ground:', name(e)); } return [255, 255, 255, 1]; };
  const told = new Set(), looked = new Set();
  for (const { e } of texts) {
    if (looked.has(e)) continue;
    looked.add(e);
    const style = getComputedStyle(e);
    const a = light(rgb(e instanceof SVGElement ? style.fill : style.color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = style.color + style.fill + ratio;
    if (ratio < 4.5 && !told.has(key)) { told.add(key); fault('contrast', ratio.toFixed(2), 'of', name(e)); }
  }

  // Every figure is explained one step away, and the way back is there.
  for (const f of document.querySelectorAll('figure')) if (!f.querySelector('a[href^="#def-"]')) fault('no definition is linked from', name(f));
  for (const a of document.querySelectorAll('a[href^="#"]')) if (!document.getElementById(a.getAttribute('href').slice(1))) fault('leads nowhere:', a.getAttribute('href'));
  for (const d of document.querySelectorAll('dt[id^="def-"]')) {
    const used = document.querySelectorAll('a[href="#' + d.id + '"]').length, back = d.nextElementSibling.querySelectorAll('.back a').length;
    if (used > 0 && back === 0) fault('no way back from', d.id);
  }
  const ids = new Set();
  for (const i of document.querySelectorAll('[id]')) { if (ids.has(i.id)) fault('the id', i.id, 'stands twice'); ids.add(i.id); }
  if (print) for (const d of document.querySelectorAll('details:not(.bulk)')) for (const c of d.querySelectorAll('table')) if (!seen(c) && !c.closest('.bulk')) fault('folded away on paper:', name(d));
  if (print) for (const d of document.querySelectorAll('details.bulk')) if (!getComputedStyle(d.querySelector('summary'), '::after').content.includes('on the screen')) fault('folded away on paper, and nothing says so:', name(d));
  return out;
}
