// Everything the page says, in English and Chinese, and the switch between them.

const ENGLISH = {
  research: "Research use – not a medical device",
  skip: "Skip to the upload",
  title: "What does the model see?",
  drop: "Drop an image, a folder or a zip here",
  choose: "Choose images",
  folder: "Choose a folder",
  kinds: "DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, npy, or a zip of them. Nothing leaves this machine.",
  model: "Model",
  want: "Show where the model looks",
  stop: "Stop",
  sending: "Sending {n} file(s), {percent} %",
  thinking: "The model is looking at {n} file(s) …",
  stopped: "Stopped.",
  card: "Model card",
  api: "API",
  answer: "Answer",
  none: "None of the findings",
  above: "The probability of {positive}, {p}, is at or above the operating point of {t}.",
  below: "The probability of {positive}, {p}, is below the operating point of {t}.",
  chosen: "Its calibrated probability is {p}.",
  most: "The most probable of {n} classes is {name}, with {p}.",
  ordinalNote: "The operating point weighs the classes, so the answer need not be the most probable one.",
  number: "The model's estimate of {name}.",
  each: "Each finding has its own operating point, marked on its bar.",
  probabilities: "Probabilities",
  threshold: "operating point {t}",
  heat: "Heat map",
  heatFor: "Heat map: evidence for {name}",
  opacity: "Opacity",
  faithful: "This model's heat maps passed their examination.",
  unfaithful: "This model's heat maps failed their examination; do not rely on them.",
  unexamined: "This model's heat maps were not examined.",
  noHeat: "No heat map for this answer.",
  picture: "What the model was shown: {name}",
  heatPicture: "The same with the heat map drawn over it",
  notice: "Please note",
  json: "Answer as JSON",
  nifti: "Heat map as NIfTI",
  took: "{s} s · {model} {version}",
  failed: "{n} file(s) could not be answered",
  offline: "The service does not answer. It may have been stopped. Start it again with scanwright serve.",
  tooLarge: "The upload is {mb} MB. One request may hold {max} MB. Send fewer or smaller files.",
  tooMany: "There are {n} files. One request may hold {max}. Send fewer at a time.",
  nothing: "There is no file in what was dropped.",
  notReady: "The model is still being loaded.",
  figures: "How good it was on the {part} part ({n} cases): value and 95 % interval",
  figure: "Figure",
  value: "Value",
  interval: "95 % interval",
  noFigures: "The model file holds no test figures.",
  howto: "Figures hold for patients and scanners like those of the test part.",
  classes: "{task} model · {classes}",
  binary: "Two-class", multiclass: "Multi-class", multilabel: "Multi-label", ordinal: "Ordinal", regress: "Regression",
  test: "test", external: "external", val: "validation",
  auroc: "AUROC", average_precision: "Average precision", accuracy: "Accuracy", balanced_accuracy: "Balanced accuracy",
  precision: "Precision", recall: "Sensitivity (recall)", specificity: "Specificity", f1: "F1", ece: "Calibration error (ECE)",
  loss: "Loss", quadratic_kappa: "Quadratic kappa", mae: "Mean absolute error", rmse: "Root mean squared error", r2: "R²",
  pearson: "Pearson correlation", spearman: "Spearman correlation",
};

const CHINESE = {
  research: "仅供研究使用 – 非医疗器械",
  skip: "跳到上传",
  title: "模型看到了什么？",
  drop: "将图像、文件夹或 zip 拖放到此处",
  choose: "选择图像",
  folder: "选择文件夹",
  kinds: "DICOM、NIfTI、NRRD、MetaImage、PNG、JPEG、TIFF、npy，或其 zip 压缩包。数据不会离开本机。",
  model: "模型",
  want: "显示模型关注的位置",
  stop: "停止",
  sending: "正在发送 {n} 个文件，{percent} %",
  thinking: "模型正在查看 {n} 个文件……",
  stopped: "已停止。",
  card: "模型卡",
  api: "接口",
  answer: "结果",
  none: "未见所列征象",
  above: "{positive} 的概率 {p} 达到或高于判定阈值 {t}。",
  below: "{positive} 的概率 {p} 低于判定阈值 {t}。",
  chosen: "其校准概率为 {p}。",
  most: "{n} 类中概率最高的是 {name}，为 {p}。",
  ordinalNote: "判定点对各类加权，因此结果不一定是概率最高的一类。",
  number: "模型对 {name} 的估计值。",
  each: "每项征象各有判定阈值，标示于其条形上。",
  probabilities: "概率",
  threshold: "判定阈值 {t}",
  heat: "热图",
  heatFor: "热图：支持 {name} 的依据",
  opacity: "不透明度",
  faithful: "该模型的热图已通过检验。",
  unfaithful: "该模型的热图未通过检验，请勿依赖。",
  unexamined: "该模型的热图未经检验。",
  noHeat: "此结果没有热图。",
  picture: "模型所见图像：{name}",
  heatPicture: "同一图像叠加热图",
  notice: "请注意",
  json: "结果（JSON）",
  nifti: "热图（NIfTI）",
  took: "{s} 秒 · {model} {version}",
  failed: "{n} 个文件无法给出结果",
  offline: "服务没有响应，可能已停止。请用 scanwright serve 重新启动。",
  tooLarge: "上传内容为 {mb} MB，每次最多 {max} MB。请减少或缩小文件。",
  tooMany: "共 {n} 个文件，每次最多 {max} 个。请分批发送。",
  nothing: "拖放的内容中没有文件。",
  notReady: "模型仍在加载。",
  figures: "在{part}集（{n} 例）上的表现：数值与 95 % 区间",
  figure: "指标",
  value: "数值",
  interval: "95 % 区间",
  noFigures: "模型文件中没有测试指标。",
  howto: "这些指标适用于与测试集相似的患者和设备。",
  classes: "{task}模型 · {classes}",
  binary: "二分类", multiclass: "多分类", multilabel: "多标签", ordinal: "有序分类", regress: "回归",
  test: "测试", external: "外部", val: "验证",
  auroc: "AUROC", average_precision: "平均精确率", accuracy: "准确率", balanced_accuracy: "平衡准确率",
  precision: "精确率", recall: "灵敏度（召回率）", specificity: "特异度", f1: "F1", ece: "校准误差 (ECE)",
  loss: "损失", quadratic_kappa: "二次加权 Kappa", mae: "平均绝对误差", rmse: "均方根误差", r2: "R²",
  pearson: "Pearson 相关系数", spearman: "Spearman 相关系数",
};

const BOOKS = { en: ENGLISH, zh: CHINESE };
let language = remembered() || ((navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en");

function remembered() {
  try {
    const kept = localStorage.getItem("language");
    return kept in BOOKS ? kept : null;
  } catch {
    return null;
  }
}

export function current() {
  return language;
}

// The sentence of a key, with {names} filled in.
export function say(key, values = {}) {
  const sentence = BOOKS[language][key] ?? ENGLISH[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

// Whether a key has words of its own.
export function known(key) {
  return key in ENGLISH;
}

// Put the words into everything below a node that asks for them.
export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of root.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  try {
    localStorage.setItem("language", language);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  translate();
}

// A probability as a person reads it; the spaces do not break.
export function percent(p) {
  if (p > 0.999 && p < 1) return ">\u202f99.9\u202f%";
  if (p < 0.001 && p > 0) return "<\u202f0.1\u202f%";
  return `${(100 * p).toFixed(1)}\u202f%`;
}
