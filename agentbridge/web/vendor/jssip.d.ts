export { C, UA, WebSocketInterface, debug } from "jssip";
