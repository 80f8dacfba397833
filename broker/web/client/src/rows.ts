/** The numbers of the messages. */

export const ROW_VERSION = 0;
export const ROW_CALL = 1;
export const ROW_SEND = 2;
export const ROW_CACHE_CALL = 3;
export const ROW_CACHE_SEND = 4;
export const ROW_ANSWER = 5;
export const ROW_TUPLE = 6;
export const ROW_GRAPH = 7;
export const ROW_DECREF = 8;
export const ROW_DECACHE = 9;
export const ROW_UNCACHE = 10;
export const ROW_CANCEL = 11;
export const ROW_PING = 12;
export const ROW_PONG = 13;
export const ROW_GOODBYE = 14;
export const ROW_DRAINING = 15;
export const ROW_CREDIT = 16;
export const ROW_ITEMS = 17;
export const ROW_ITEM_GRAPH = 18;
export const ROW_PIECE = 19;
export const ROW_END = 20;
export const ROW_STOP = 21;
export const ROW_HOME = 22;
