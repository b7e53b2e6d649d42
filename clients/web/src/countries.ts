// Calling codes, each with its countries, the main one first. From Google's libphonenumber 9, without satellite networks.

/** A comma stands for the next code. */
const table =
  "1USAGAIASBBBMBSCADMDOGDGUJMKNKYLCMPMSPRSXTCTTVCVGVI7RUKZ20EG27ZA30GR,NL,BE,FR,ES36HU39ITVA,RO,CH43AT,GBGGIMJE,DK,SE,NOSJ,PL,DE51PE,MX,CU,AR,BR,CL,CO,VE60MY,AUCCCX,ID,PH,NZ,SG,TH81JP,KR84VN86CN90TR,IN,PK,AF,LK,MM98IR211SS,MAEH,DZ216TN218LY220GM,SN,MR,ML,GN,CI,BF,NE,TG,BJ,MU,LR,SL,GH,NG,TD,CF,CM,CV,ST,GQ,GA,CG,CD,AO,GW,IO,AC,SC,SD,RW,ET,SO,DJ,KE,TZ,UG,BI,MZ260ZM,MG,REYT,ZW,NA,MW,LS,BW,SZ,KM290SHTA,ER297AW,FO,GL350GI,PT,LU,IE,IS,AL,MT,CY,FIAX,BG370LT,LV,EE,MD,AM,BY,AD,MC,SM380UA,RS,ME,XK385HR,SI,BA389MK420CZ,SK423LI500FK,BZ,GT,SV,HN,NI,CR,PA,PM,HT590GPBLMF,BO,GY,EC,GF,PY,MQ,SR,UY,CWBQ670TL672NF,BN,NR,PG,TO,SB,VU,FJ,PW,WF,CK,NU685WS,KI,NC,TV,PF,TK,FM,MH850KP852HK,MO855KH,LA880BD886TW960MV,LB,JO,SY,IQ,KW,SA,YE,OM970PS,AE,IL,BH,QA,BT,MN,NP992TJ,TM,AZ,GE,KG998UZ";

let next = 0;
/** The calling code of each country, by its ISO 3166 code. */
export const callingCodes: ReadonlyMap<string, string> = new Map(
  [...table.matchAll(/(\d+|,)([A-Z]+)/g)].flatMap(([, code = "", countries = ""]) => {
    next = Number(code) || next + 1;
    return (countries.match(/../g) ?? []).map((country) => [country, String(next)] as const);
  }),
);

/** The country of a number that was typed with its calling code. */
export function countryOf(typed: string, listed: readonly string[]): string | undefined {
  const digits = typed.replace(/[^\d+]/g, "");
  return listed.find((country) => digits.startsWith(`+${callingCodes.get(country) ?? ""}`));
}

/** A number as it was typed, in digits of any script, with the calling code of the country that was chosen. */
export function international(typed: string, country: string): string {
  if (/^\s*(\+|00)/.test(typed)) return typed;
  const digits = typed.replace(/\P{Nd}/gu, "");
  const code = callingCodes.get(country) ?? "";
  // No national number has more digits: the code was typed without its plus.
  return digits.length > 11 && digits.startsWith(code) ? `+${digits}` : `+${code} ${digits}`;
}
